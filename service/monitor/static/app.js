// The page: what is chosen lives in the address, what is shown comes from the API.

import { Refused, address, ask, follow, setToken } from "./api.js";
import { draw, drawHours, spark } from "./chart.js";
import * as format from "./format.js";

const at = (id) => document.getElementById(id);
const PAGE = 50, EVERY_MS = 2000;
const DEFAULTS = { search: "", sort: "name", window: "day", offset: "0", stream: null, target: "", span: "200" };
let view = fromAddress();
let paused = false, busy = false, asked = 0, lastSummary = null, rates = [];
let shown = null, earlier = null;

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([key, usual]) => [key, given.get(key) ?? usual]));
}

function link(changes) {
  const wanted = Object.entries({ ...view, ...changes }).filter(([key, value]) => value !== DEFAULTS[key] && value !== null);
  return `#${new URLSearchParams(wanted)}`;
}

function go(changes, replace = false) {
  if (replace) {
    history.replaceState(null, "", link(changes));
    changed();
  } else location.hash = link(changes);
}

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A cell with a number: its text is for people, its value exact. */
function cell(value, text, className = "number") {
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
  choose.href = link({ stream: line.stream, target: line.target });
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

function showList(found) {
  const held = document.activeElement?.closest?.("#rows a")?.getAttribute("href");
  at("rows").replaceChildren(...found.streams.map(row));
  if (held) at("rows").querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
  const first = found.matched ? found.offset + 1 : 0, last = found.offset + found.streams.length;
  at("range").textContent = `${first} to ${last} of ${found.matched}`;
  at("previous").disabled = found.offset === 0;
  at("next").disabled = last >= found.matched;
}

function showAnomalies({ anomalies }) {
  at("anomalies").replaceChildren(...anomalies.map((line) => {
    const made = element("tr");
    made.append(
      choice(line), cell(line.timestamp, format.time(line.timestamp), ""),
      cell(line.value, format.number(line.value)), cell(line.anomaly, format.number(line.anomaly)),
    );
    return made;
  }));
  if (!anomalies.length) {
    const none = element("td", "none so far");
    none.colSpan = 4;
    at("anomalies").append(element("tr"));
    at("anomalies").lastChild.append(none);
  }
}

function showAccuracy(lines, unit) {
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

function describe(stream) {
  const { timestamps, values } = stream.history;
  const fan = stream.fan?.quantiles.at(-1);
  const middle = stream.quantiles.reduce((best, q, i) => (Math.abs(q - .5) < Math.abs(stream.quantiles[best] - .5) ? i : best), 0);
  const parts = [
    `${timestamps.length} readings from ${format.time(timestamps[0])} to ${format.time(timestamps.at(-1))} UTC, last ${format.number(values.at(-1))}.`,
  ];
  if (fan) parts.push(`In ${format.duration(stream.fan.due.at(-1) - stream.fan.issued)}: ${format.number(fan[middle])} (${format.number(fan[0])} to ${format.number(fan.at(-1))}).`);
  if (stream.gaps.length) parts.push(`Gaps: ${stream.gaps.length}.`);
  return parts.join(" ");
}

function showLinks(query) {
  const paths = query.stream === undefined ? [["api/accuracy", {}]] : [["api/streams/one", query], ["api/forecasts", query], ["api/accuracy", query]];
  at("links").replaceChildren(...paths.flatMap(([path, given]) => ["json", "csv"].map((form) => {
    const item = element("li"), anchor = element("a", `${path} ${form.toUpperCase()}`);
    anchor.href = address(path, { ...given, format: form });
    item.append(anchor);
    return item;
  })));
}

async function showOne() {
  const query = { stream: view.stream, target: view.target };
  const stream = await ask("api/streams/one", { ...query, limit: view.span });
  if (stream.stream !== view.stream || stream.target !== view.target) return;
  const another = !shown || shown.stream !== stream.stream || shown.target !== stream.target;
  shown = stream;
  if (another) earlier = null;
  at("one").hidden = at("one-hours").hidden = false;
  at("detail-title").replaceChildren(element("bdi", format.name(stream.stream, stream.target, 160)));
  const wrote = stream.models.map((change) => `${format.name(change.model)} from ${format.time(change.from)}`).slice(-4);
  at("detail-about").textContent = `A reading every ${format.duration(stream.interval_ms)}; model ${wrote.join(", ")}.`;
  at("chart-text").textContent = describe(stream);
  at("chart").setAttribute("aria-label", `Readings, expectations and forecast. ${describe(stream)}`);
  const slider = at("earlier"), most = stream.history.timestamps.length - 1;
  const wasNow = slider.value === slider.max;
  slider.max = String(most);
  if (another || wasNow) slider.value = String(most);
  await draw(at("chart"), stream, earlier);
  await drawHours(at("hours"), stream.by_hour);
  const [worst] = [...stream.by_hour].sort((a, b) => b.mae - a.mae);
  at("hours").setAttribute("aria-label", worst ? `Error one step ahead by hour of the day, largest at ${worst.hour}:00 UTC: ${format.number(worst.mae)}` : "No errors yet");
  showAccuracy(stream.accuracy[view.window], "in the unit of the readings");
  showLinks(query);
}

async function showAll() {
  const { accuracy } = await ask("api/accuracy");
  if (view.stream !== null) return;
  shown = null;
  at("one").hidden = at("one-hours").hidden = true;
  at("detail-title").textContent = "All streams";
  at("detail-about").textContent = "Choose a stream to see its readings, what was expected of them, and its forecast.";
  showAccuracy(accuracy.flatMap((shape) => shape.windows[view.window]), "in mean changes of each stream, so that units do not mix");
  showLinks({});
}

async function refresh() {
  if (busy) return;
  busy = true;
  asked = Date.now();
  try {
    const { search, sort, window, offset } = view;
    const list = ask("api/streams", { search, sort, window, offset, limit: PAGE });
    const anomalies = ask("api/anomalies", { limit: 10 });
    await Promise.all([list.then(showList), anomalies.then(showAnomalies), view.stream === null ? showAll() : showOne()]);
  } catch (error) {
    say(error);
  } finally {
    busy = false;
  }
}

function say(error) {
  if (error instanceof Refused && error.status === 401) at("login").hidden = false;
  setState(error instanceof Refused ? error.message : "no connection to the monitor", true);
  if (error instanceof Refused && error.status === 404) at("detail-about").textContent = "There is no such stream now.";
}

function setState(text, bad = false) {
  if (at("state").textContent !== text) at("state").textContent = text;
  at("state").className = bad ? "state bad" : "state";
}

function showSummary(summary) {
  rates = [...rates, { at: summary.now, records: summary.records }].slice(-8);
  const [first, last] = [rates[0], rates.at(-1)];
  const rate = last.at > first.at ? (1000 * (last.records - first.records)) / (last.at - first.at) : 0;
  for (const key of ["streams", "silent", "anomalies", "cold", "lag"]) at(`figure-${key}`).textContent = String(summary[key]);
  at("figure-rate").textContent = format.number(Math.round(rate));
  if (summary.trouble) setState(`waiting for ${summary.trouble}`, true);
  else setState(paused ? "paused" : summary.caught_up ? "live" : "catching up");
  const news = !lastSummary || summary.records !== lastSummary.records || summary.silent !== lastSummary.silent;
  lastSummary = news ? summary : lastSummary;
  if (!paused && (news || Date.now() - asked > 5 * EVERY_MS) && Date.now() - asked > EVERY_MS) refresh();
}

async function connect() {
  for (;;) {
    try {
      await follow(showSummary);
      setState("no connection to the monitor", true);
    } catch (error) {
      say(error);
    }
    rates = [];
    lastSummary = null;
    await new Promise((done) => setTimeout(done, 1000));
  }
}

function changed() {
  view = fromAddress();
  for (const id of ["search", "sort", "window", "span"]) if (at(id) !== document.activeElement) at(id).value = view[id];
  document.body.classList.toggle("chosen-one", view.stream !== null);
  busy = false;
  return refresh();
}

async function pickEarlier() {
  const index = Number(at("earlier").value), stamps = shown?.history.timestamps ?? [];
  const now = index >= stamps.length - 1;
  at("earlier-when").textContent = now ? "now" : format.time(stamps[index]);
  const query = { stream: view.stream, target: view.target, issued: stamps[index] };
  earlier = now ? null : (await ask("api/forecasts", query)).forecasts;
  if (shown) await draw(at("chart"), shown, earlier);
}

let typing = 0;
at("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => go({ search: at("search").value, offset: "0" }, true), 150);
});
for (const id of ["sort", "window", "span"]) at(id).addEventListener("change", () => go({ [id]: at(id).value, offset: "0" }, true));
at("previous").addEventListener("click", () => go({ offset: String(Math.max(0, Number(view.offset) - PAGE)) }));
at("next").addEventListener("click", () => go({ offset: String(Number(view.offset) + PAGE) }));
at("earlier").addEventListener("change", () => pickEarlier().catch(say));
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) refresh();
});
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(at("token").value);
  at("login").hidden = true;
  refresh();
});
window.addEventListener("hashchange", changed);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!shown) return;
  draw(at("chart"), shown, earlier);
  drawHours(at("hours"), shown.by_hour);
});
changed();
connect();
