// The chart of one stream, by Plotly. No text from a record reaches it.

const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset" };

function colour(role) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${role}`).trim();
}

function faded(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

/** Readings with a hole wherever slots are missing, so that no line crosses it. */
function withHoles(history, gaps) {
  const after = new Map(gaps.map((gap) => [gap.from, (gap.from + gap.to) / 2]));
  const columns = { x: [], value: [], expected: [] };
  history.timestamps.forEach((stamp, i) => {
    columns.x.push(stamp);
    columns.value.push(history.values[i]);
    columns.expected.push(history.expected[i]);
    if (after.has(stamp)) {
      columns.x.push(after.get(stamp));
      columns.value.push(null);
      columns.expected.push(history.expected[i].map(() => null));
    }
  });
  return columns;
}

/** The area between two quantiles, in pieces where some are missing. */
function area(x, low, high, role) {
  const outline = { x: [], y: [] };
  let run = [];
  const end = () => {
    const back = [...run].reverse();
    outline.x.push(...run.map((i) => x[i]), ...back.map((i) => x[i]), null);
    outline.y.push(...run.map((i) => low[i]), ...back.map((i) => high[i]), null);
    run = [];
  };
  x.forEach((_, i) => {
    if (low[i] === null || high[i] === null) end();
    else run.push(i);
  });
  end();
  return {
    ...outline, type: "scatter", mode: "none", fill: "toself", fillcolor: faded(colour(role), 0.2),
    hoverinfo: "skip", showlegend: false,
  };
}

/** An interval for each pair of quantiles, the outermost alone for `narrow`, and the middle one. */
function band(x, quantiles, middle, role, title, dash, narrow = false) {
  const column = (level) => quantiles.map((each) => each[level]);
  const last = quantiles.length ? quantiles[0].length - 1 : 0;
  const pairs = narrow ? [0] : Array.from({ length: Math.floor((last + 1) / 2) }, (_, i) => i);
  return [
    ...pairs.map((i) => area(x, column(i), column(last - i), role)),
    {
      x, y: column(middle), type: "scatter", mode: "lines", name: title, connectgaps: false,
      hovertemplate: "%{y}", line: { color: colour(role), width: 1.6, dash },
    },
  ];
}

function outliers({ history, anomaly_threshold: least }) {
  const at = history.timestamps.map((_, i) => i).filter((i) => history.anomaly[i] >= least);
  return {
    type: "scatter", mode: "markers", name: "anomaly", hoverinfo: "skip",
    x: at.map((i) => history.timestamps[i]), y: at.map((i) => history.values[i]),
    marker: { color: colour("bad"), symbol: "diamond-open", size: 10, line: { width: 2 } },
    showlegend: at.length > 0,
  };
}

function middleOf(levels) {
  return levels.reduce((best, q, i) => (Math.abs(q - 0.5) < Math.abs(levels[best] - 0.5) ? i : best), 0);
}

function layout(stream, phone) {
  const grid = { gridcolor: colour("line"), linecolor: colour("line"), zeroline: false };
  return {
    uirevision: `${stream.stream}/${stream.target}`,
    margin: { l: 8, r: 24, t: 8, b: 8 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("text"), size: 12, family: "inherit" },
    hovermode: "x unified", hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line") },
    showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    dragmode: phone ? false : "zoom",
    xaxis: { ...grid, type: "date", automargin: true, nticks: phone ? 4 : 8 },
    yaxis: { ...grid, automargin: true, nticks: 6 },
    shapes: stream.models.slice(1).map((change) => ({
      type: "line", x0: change.from, x1: change.from, yref: "paper", y0: 0, y1: 1,
      line: { color: colour("faint"), dash: "dot", width: 1 },
    })),
  };
}

/** Draw a stream, and the forecast made at an earlier reading if there is one. `pick` is called with
 * the time of a reading that is clicked. */
export async function draw(element, stream, earlier, pick) {
  const middle = middleOf(stream.quantiles);
  const columns = withHoles(stream.history, stream.gaps);
  const traces = band(columns.x, columns.expected, middle, "expected", "expected", "dot", true);
  if (stream.fan) traces.push(...band(stream.fan.due, stream.fan.quantiles, middle, "fan", "forecast", "solid"));
  if (earlier && earlier.length) {
    const due = earlier.map((line) => line.due);
    const shown = band(due, earlier.map((line) => line.quantiles), middle, "earlier", "forecast then", "solid");
    shown.at(-1).mode = "lines+markers";
    traces.push(...shown);
  }
  traces.push({
    type: "scatter", x: columns.x, y: columns.value, mode: columns.x.length < 3 ? "markers" : "lines",
    name: "reading", connectgaps: false, hovertemplate: "%{y}",
    line: { color: colour("reading"), width: 1.8 },
  });
  traces.push(outliers(stream));
  const phone = window.matchMedia("(max-width: 60rem)").matches;
  await Plotly.react(element, traces, layout(stream, phone), CONFIG);
  if (!pick) return;
  element.removeAllListeners("plotly_click");
  element.on("plotly_click", ({ points }) => {
    const reading = points.find((point) => point.data.name === "reading");
    if (reading) pick(reading.data.x[reading.pointIndex]);
  });
}

/** Errors by hour of the day. */
export function drawHours(element, hours) {
  const grid = { gridcolor: colour("line"), linecolor: colour("line"), zeroline: false, automargin: true };
  const bars = {
    type: "bar", x: hours.map((each) => each.hour), y: hours.map((each) => each.mae),
    marker: { color: colour("expected") }, hovertemplate: "%{x}:00 to %{x}:59 UTC: %{y}<extra></extra>",
  };
  return Plotly.react(element, [bars], {
    margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("text"), size: 12, family: "inherit" }, bargap: 0.15, dragmode: false,
    xaxis: { ...grid, range: [-0.5, 23.5], tickvals: [0, 6, 12, 18, 23], fixedrange: true },
    yaxis: { ...grid, rangemode: "tozero", nticks: 4, fixedrange: true },
  }, CONFIG);
}

/** A line of a table as a small picture. */
export function spark(values) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("class", "spark");
  picture.setAttribute("viewBox", "0 0 100 24");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known), range = Math.max(...known) - low || 1;
  let run = [];
  const end = () => {
    if (!run.length) return;
    const line = document.createElementNS(space, "polyline");
    line.setAttribute("points", run.join(" "));
    line.setAttribute("vector-effect", "non-scaling-stroke");
    picture.append(line);
    run = [];
  };
  values.forEach((value, i) => {
    if (value === null) end();
    else run.push(`${(100 * i) / Math.max(1, values.length - 1)},${22 - (20 * (value - low)) / range}`);
  });
  end();
  return picture;
}
