// The tables of the page. Texts of records are set as text, never as HTML.

import { address } from "./api.js";
import { spark } from "./chart.js";
import * as format from "./format.js";
import { link, view } from "./view.js";

export const at = (id) => document.getElementById(id);

export function element(tag, text, className = "") {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A cell with a number: its text is for people, its value exact. */
export function cell(value, text, className = "number") {
  const made = element("td", undefined, className);
  const data = element("data", text);
  data.value = value === null || value === undefined ? "" : String(value);
  made.append(data);
  return made;
}

/** The head of a row: the stream's name, which chooses it. */
function choice(line) {
  const head = element("th");
  head.scope = "row";
  const choose = element("a");
  const aim = () => { choose.href = link({ stream: line.stream, target: line.target, made: null }); };
  aim();
  choose.addEventListener("click", aim); // the view may have changed since the row was drawn
  if (isChosen(line)) choose.setAttribute("aria-current", "true");
  choose.append(element("bdi", format.name(line.stream, line.target)));
  head.append(choose);
  return head;
}

function isChosen(line) {
  return line.stream === view.stream && line.target === view.target;
}

function row(line) {
  const made = element("tr", undefined, isChosen(line) ? "chosen" : "");
  const head = choice(line);
  const picture = element("td");
  picture.append(spark(line.recent));
  const { low, middle, high } = line.forecast;
  const next = cell(middle, format.number(middle));
  if (middle !== null) next.append(" ", element("small", `${format.number(low, 4)} to ${format.number(high, 4)}`));
  const states = [line.silent ? `silent for ${format.duration(1000 * line.silent_s)}` : "", line.warm ? "" : "cold"];
  made.append(
    head, element("td", states.filter(Boolean).join(", ") || "ok", line.silent ? "bad" : ""), picture,
    cell(line.value, format.number(line.value)),
    cell(line.scaled_error, format.number(line.scaled_error, 3)), next,
  );
  return made;
}

export function showList(found) {
  const held = document.activeElement?.closest?.("#rows a")?.getAttribute("href");
  at("rows").replaceChildren(...found.streams.map(row));
  if (held) at("rows").querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
  const first = found.matched ? found.offset + 1 : 0, last = found.offset + found.streams.length;
  at("range").textContent = `${first} to ${last} of ${found.matched}`;
  at("previous").disabled = found.offset === 0;
  at("next").disabled = last >= found.matched;
}

export function showAnomalies({ anomalies }) {
  at("anomalies").replaceChildren(...anomalies.map((line) => {
    const made = element("tr");
    made.append(
      choice(line), cell(line.timestamp, format.time(line.timestamp), ""),
      cell(line.value, format.number(line.value)), cell(line.anomaly, format.number(line.anomaly)),
    );
    return made;
  }));
  if (!anomalies.length) showNone("anomalies", 4);
}

export function showLetters({ errors }) {
  at("letters").replaceChildren(...errors.map((line) => {
    const made = element("tr"), head = element("th", line.error), [last] = line.latest;
    head.scope = "row";
    const reason = element("td", undefined, "wrapped");
    reason.append(element("bdi", `${format.name(last.key ?? "")}: ${format.name(last.reason, "", 200)}`));
    made.append(head, cell(line.count, String(line.count)), reason);
    return made;
  }));
  if (!errors.length) showNone("letters", 3);
}

export function showNone(id, columns) {
  const none = element("td", "none so far"), made = element("tr");
  none.colSpan = columns;
  made.append(none);
  at(id).append(made);
}

/** What was forecast for a time that has come, by lead. */
export function showDue(time, lines) {
  at("due").hidden = time === null;
  if (time === null) return;
  const [{ came } = { came: null }] = lines;
  at("due-title").textContent = `Forecast for ${format.time(time)}, when ${format.number(came)} came`;
  at("due-leads").replaceChildren(...lines.map((line) => {
    const made = element("tr");
    made.append(
      cell(line.lead, String(line.lead)), cell(line.issued, format.time(line.issued), ""),
      cell(line.low, format.number(line.low)), cell(line.middle, format.number(line.middle)), cell(line.high, format.number(line.high)),
    );
    return made;
  }));
  if (!lines.length) showNone("due-leads", 5);
}

export function showAccuracy(lines, unit) {
  const better = (value) => (value === null ? "number" : value < 1 ? "number good" : "number bad");
  at("leads").replaceChildren(...lines.map((line) => {
    const made = element("tr");
    made.append(
      cell(line.lead, `${line.lead} (${format.duration(line.lead_ms)})`), cell(line.scored, String(line.scored)),
      cell(line.mae, format.number(line.mae, 4)),
      cell(line.of_last_value, format.percent(line.of_last_value), better(line.of_last_value)),
      cell(line.of_seasonal_naive, format.percent(line.of_seasonal_naive), better(line.of_seasonal_naive)),
      cell(line.pinball, format.number(line.pinball, 4)),
      cell(line.coverage, `${line.coverage === null ? "–" : (100 * line.coverage).toFixed(1)} (${Number((100 * line.nominal).toPrecision(3))}) %`),
    );
    return made;
  }));
  at("accuracy-hint").textContent = `Last ${view.window} of stream time, ${unit}. “Of last value”: the mean error as a part of that of repeating the last value; below 100 % is better.`;
}

export function showLinks(query) {
  const paths = query.stream === undefined ? [["api/accuracy", {}]] : [["api/streams/one", query], ["api/forecasts", query], ["api/accuracy", query]];
  linksTo("links", paths);
}

/** Links to answers of the API, in both forms. */
export function linksTo(id, paths) {
  at(id).replaceChildren(...paths.flatMap(([path, given]) => ["json", "csv"].map((form) => {
    const item = element("li"), anchor = element("a", `${path} ${form.toUpperCase()}`);
    anchor.href = address(path, { ...given, format: form });
    item.append(anchor);
    return item;
  })));
}
