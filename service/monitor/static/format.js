// Texts for people. Names of streams are hostile until they have passed through here.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A stream's name on one line: control and direction marks replaced, cut at `most` characters. */
export function name(stream, target = "", most = 80) {
  const whole = (target ? `${stream} / ${target}` : stream).slice(0, 4 * most);
  const shown = whole.replace(HIDDEN, "\ufffd");
  const cut = Array.from(shown);
  return cut.length > most ? `${cut.slice(0, most - 1).join("")}…` : shown || "(no name)";
}

/** A number with `digits` digits, or more where it is large. */
export function number(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return value.toExponential(3);
  return Number(value.toPrecision(size >= 1e4 ? 7 : digits)).toString();
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`;
}

/** A time in UTC, to the second. */
export function time(ms) {
  const when = new Date(ms);
  return Number.isNaN(when.getTime()) ? String(ms) : `${when.toISOString().slice(0, 19).replace("T", " ")}`;
}

/** A short time, as a latency. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${number(1000 * value, 3)} ms` : duration(1000 * value);
}

export function duration(ms) {
  const seconds = ms / 1000;
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]])
    if (seconds >= size) return `${Number((seconds / size).toPrecision(3))} ${unit}`;
  return `${Number(seconds.toPrecision(3))} s`;
}
