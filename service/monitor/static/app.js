// The page: what is chosen lives in the address, what is shown comes from the API.

import { Refused, ask, follow, setToken } from "./api.js";
import { draw, drawHours } from "./chart.js";
import * as format from "./format.js";
import { showService } from "./service.js";
import { at, element, showAccuracy, showAnomalies, showDue, showLetters, showLinks, showList } from "./tables.js";
import { link, read, view } from "./view.js";

const PAGE = 50, EVERY_MS = 2000, SERVICE_MS = 3000;
let paused = false, busy = false, asked = 0, serviceAsked = 0, lastSummary = null, rates = [];
let shown = null, earlier = null;

function go(changes, replace = false) {
  if (replace) {
    history.replaceState(null, "", link(changes));
    changed();
  } else location.hash = link(changes);
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

async function showOne() {
  const query = { stream: view.stream, target: view.target };
  const stream = await ask("api/streams/one", { ...query, limit: view.span });
  if (stream.stream !== view.stream || stream.target !== view.target) return;
  shown = stream;
  at("one").hidden = at("one-hours").hidden = false;
  at("detail-title").replaceChildren(element("bdi", format.name(stream.stream, stream.target, 160)));
  const since = ({ from }) => (from === null ? "" : ` from ${format.time(from)}`);
  const wrote = stream.models.map((change) => `${format.name(change.model)}${since(change)}`).slice(-4);
  at("detail-about").textContent = `A reading every ${format.duration(stream.interval_ms)}; model ${wrote.join(", ")}.`;
  at("chart-text").textContent = describe(stream);
  at("chart").setAttribute("aria-label", `Readings, expectations and forecast. ${describe(stream)}`);
  await showMoment(stream, query);
  await drawHours(at("hours"), stream.by_hour);
  const [worst] = [...stream.by_hour].sort((a, b) => b.mae - a.mae);
  at("hours").setAttribute("aria-label", worst ? `Error one step ahead by hour of the day, largest at ${worst.hour}:00 UTC: ${format.number(worst.mae)}` : "No errors yet");
  showAccuracy(stream.accuracy[view.window], "in the unit of the readings");
  showLinks(query);
}

/** The forecasts made at a moment that was picked, and those for it. */
async function showMoment(stream, query) {
  const stamps = stream.history.timestamps, slider = at("earlier"), most = stamps.length - 1;
  const index = view.made === null ? -1 : stamps.indexOf(Number(view.made));
  const when = index < 0 || index === most ? null : stamps[index]; // it may be remembered no more
  slider.max = String(most);
  slider.value = String(when === null ? most : index);
  at("earlier-when").textContent = when === null ? "now" : format.time(when);
  const asked = when === null ? [] : [{ issued: when }, { valid: when }];
  const [made, due] = await Promise.all(asked.map((time) => ask("api/forecasts", { ...query, ...time })));
  earlier = made?.forecasts ?? null;
  showDue(when, due?.forecasts ?? []);
  await draw(at("chart"), stream, earlier, pick);
}

/** Look at the moment of a reading; at the latest one, keep up with it. */
function pick(stamp) {
  const stamps = shown?.history.timestamps ?? [];
  if (stamps.includes(stamp)) go({ made: stamp === stamps.at(-1) ? null : String(stamp) }, true);
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
    const anomalies = ask("api/anomalies", { limit: 10 }), letters = ask("api/dead_letters");
    await Promise.all([list.then(showList), anomalies.then(showAnomalies), letters.then(showLetters), view.stream === null ? showAll() : showOne()]);
  } catch (error) {
    say(error);
  } finally {
    busy = false;
  }
}

function refreshService() {
  serviceAsked = Date.now();
  showService().catch(say);
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
  for (const key of ["streams", "silent", "anomalies", "dead_letters", "cold", "lag"]) at(`figure-${key}`).textContent = String(summary[key]);
  at("figure-rate").textContent = format.number(Math.round(rate));
  if (summary.trouble) setState(`waiting for ${summary.trouble}`, true);
  else setState(paused ? "paused" : summary.caught_up ? "live" : "catching up");
  const news = !lastSummary || summary.records !== lastSummary.records || summary.silent !== lastSummary.silent;
  lastSummary = news ? summary : lastSummary;
  if (!paused && (news || Date.now() - asked > 5 * EVERY_MS) && Date.now() - asked > EVERY_MS) refresh();
  if (!paused && Date.now() - serviceAsked > SERVICE_MS) refreshService();
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
  read();
  for (const id of ["search", "sort", "window", "span"]) if (at(id) !== document.activeElement) at(id).value = view[id];
  document.body.classList.toggle("chosen-one", view.stream !== null);
  busy = false;
  return refresh();
}

let typing = 0;
at("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => go({ search: at("search").value, offset: "0" }, true), 150);
});
for (const id of ["sort", "window", "span"]) at(id).addEventListener("change", () => go({ [id]: at(id).value, offset: "0" }, true));
at("previous").addEventListener("click", () => go({ offset: String(Math.max(0, Number(view.offset) - PAGE)) }));
at("next").addEventListener("click", () => go({ offset: String(Number(view.offset) + PAGE) }));
at("earlier").addEventListener("change", () => pick(shown?.history.timestamps[Number(at("earlier").value)]));
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
