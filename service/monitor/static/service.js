// The service: its workers, their latencies, and the changes of its model.

import { ask } from "./api.js";
import * as format from "./format.js";
import { at, cell, element, linksTo, showNone } from "./tables.js";

const TIMES = {
  end_to_end_acknowledged: "from the record in the topic to its forecast in the topic",
  end_to_end_committed: "from the record in the topic to its committed offset",
  service: "from the poll to the acknowledged forecast",
  commit: "one commit",
};
let drawnChanges = "";

/** Ask for everything about the service, and show it. */
export async function showService() {
  const service = await ask("api/service");
  const { total, hint } = service;
  at("service-workers").hidden = hint !== "";
  at("service-about").textContent = hint
    ? `Workers are not shown: ${hint}.`
    : `${total.up} of ${total.workers} workers answer, ${total.ready} ${total.ready === 1 ? "is" : "are"} ready: ${format.number(total.records_per_s)} records/s, lag ${format.number(total.lag)} records and ${format.seconds(total.lag_s)}, ${total.partitions} partitions.`;
  if (!hint) {
    showWorkers(service.workers);
    showLatency(service);
    showDeadLetters(service.dead_letters);
  }
  showChanges(service);
  if (!at("service-links").children.length) linksTo("service-links", [["api/service", {}]]);
}

function text(tag, content, most, className) {
  const made = element(tag, undefined, className);
  made.append(element("bdi", format.name(content, "", most)));
  return made;
}

function state(line) {
  if (!line.up) {
    const since = line.answered ? `; last answer ${format.time(line.answered)}` : "";
    return text("td", `down: ${line.reason}${since}`, 200, "wrapped bad");
  }
  return line.ready ? element("td", "ready") : text("td", `not ready: ${line.reason}`, 200, "wrapped bad");
}

/** Ranges of partitions, as 0-3, 7. */
function ranges(partitions) {
  const runs = [];
  for (const each of partitions) {
    const last = runs.at(-1);
    if (last && each === last[1] + 1) last[1] = each;
    else runs.push([each, each]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

function model(line) {
  if (line.model === null) return element("td", "–");
  const parts = [line.model];
  if (line.generation) parts.push(`change ${line.generation}`);
  // the age is negative where a replay sends what the model was trained on
  if (line.model_age_s !== null) parts.push(line.model_age_s < 0 ? "trained on later data" : `age ${format.duration(1000 * line.model_age_s)}`);
  return text("td", parts.join(", "), 120);
}

function showWorkers(workers) {
  at("workers").replaceChildren(...workers.map((line) => {
    const made = element("tr"), head = text("th", line.worker, 60);
    head.scope = "row";
    if (line.name !== line.worker) head.title = format.name(line.name);
    const lag = cell(line.lag, format.number(line.lag));
    if (line.lag_s) lag.append(" ", element("small", format.seconds(line.lag_s)));
    const streams = cell(line.streams, format.number(line.streams));
    if (line.cold) streams.append(" ", element("small", `(${line.cold})`));
    made.append(
      head, state(line), cell(line.records_per_s, format.number(line.records_per_s, 3)),
      cell(line.p50_s, format.seconds(line.p50_s)), cell(line.p99_s, format.seconds(line.p99_s)), lag,
      text("td", ranges(line.partitions) || "–", 60), streams, cell(line.dead_letters, format.number(line.dead_letters)), model(line),
    );
    return made;
  }));
  if (!workers.length) showNone("workers", 10);
}

function showLatency({ latency, window_s: seconds }) {
  at("latency").replaceChildren(...latency.map((line) => {
    const made = element("tr"), head = element("th", line.stage ? `stage ${line.stage}, one turn` : TIMES[line.of]);
    head.scope = "row";
    made.append(head, cell(line.p50_s, format.seconds(line.p50_s)), cell(line.p99_s, format.seconds(line.p99_s)), cell(line.count, String(line.count)));
    return made;
  }));
  if (!latency.length) showNone("latency", 4);
  at("latency-hint").textContent = `Of the last ${format.duration(1000 * seconds)}, from histograms: values are taken to be spread evenly within a bucket, and those above the last edge count as that edge. The stage poll includes waiting for records.`;
}

function showDeadLetters(letters) {
  const kinds = letters.map((line) => `${format.name(line.error)} ${line.count}`).join(", ");
  at("service-letters").textContent = `Dead letters since the workers started: ${kinds || "none"}.`;
}

function evidence(facts) {
  const made = element("td"), entries = Object.entries(facts);
  if (!entries.length) return element("td", "–");
  const details = element("details"), list = element("ul");
  for (const [name, value] of entries) list.append(text("li", `${name}: ${typeof value === "number" ? format.number(value) : value}`, 300));
  details.append(element("summary", "figures"), list);
  made.append(details);
  return made;
}

/** Drawn anew only if they are others, so that evidence which is open stays open. */
function showChanges({ changes, registry_trouble: trouble }) {
  at("service-changes").hidden = changes === null;
  at("changes-about").textContent = trouble && format.name(trouble, "", 300);
  const drawn = JSON.stringify(changes);
  if (changes === null || drawn === drawnChanges) return;
  drawnChanges = drawn;
  at("changes").replaceChildren(...changes.map((line) => {
    const made = element("tr"), kind = line.number === null ? line.kind : `${line.kind} (${line.number})`;
    made.append(
      cell(line.when, format.time(line.when), ""), element("td", kind), text("td", line.label, 60),
      text("td", line.who, 60), text("td", line.why || "–", 300, "wrapped"), evidence(line.evidence),
    );
    return made;
  }));
  if (!changes.length) showNone("changes", 6);
}
