// Draws [data-charts], the charts of a server or host, with uPlot, which is loaded with the first of them.
// What a chart shows comes as JSON from the address in data-charts, and comes again while the charts are in view.
const language = document.documentElement.lang || "en";
// The zone that the user chose, else the browser's; moments look as those of the server do.
const chosen = document.body.dataset.timeZoneChosen !== undefined;
const timeZone = chosen ? document.body.dataset.timeZone : Intl.DateTimeFormat().resolvedOptions().timeZone;
const day = { day: "numeric", month: "short", timeZone };
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone };
const moment = new Intl.DateTimeFormat(language, { ...day, year: "numeric", ...clock, second: "2-digit" });
const timeOfDay = new Intl.DateTimeFormat(language, clock);
const toTheSecond = new Intl.DateTimeFormat(language, { ...clock, second: "2-digit" });
const dayOfMonth = new Intl.DateTimeFormat(language, day);

const REFRESH_MS = 15_000;
const HEIGHT = 120;
const AXIS_WIDTH = 58;
const MARK_REACH = 6; // pixels
// The highest value of an axis at least: an idle server is not to look busy.
const LEAST = { players: 4, percent: 10, bytes: 1e7, seconds: 0.05, bytes_per_second: 1e4 };
const MARK_TOKENS = { crash: "--bad-fill", start: "--ok-fill", stop: "--idle-fill", map: "--note-fill" };

const drawn = new Map(); // the section → what `draw` made of it
let library;

function uplot(section) {
  library ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    const script = document.createElement("script");
    Object.assign(style, { rel: "stylesheet", href: section.dataset.style });
    Object.assign(script, { src: section.dataset.script, onload: () => resolve(window.uPlot), onerror: reject });
    document.head.append(style, script);
  });
  return library;
}

// --- values in words ---------------------------------------------------------------------------------------------

function number(value, digits) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

function bytes(value) {
  let amount = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(amount) < 1000) return `${number(amount, amount < 100 && unit !== "B" ? 1 : 0)} ${unit}`;
    amount /= 1000;
  }
  return `${number(amount, 1)} TB`;
}

function words(value, unit) {
  if (value == null) return "–";
  if (unit === "bytes") return bytes(value);
  if (unit === "bytes_per_second") return `${bytes(value)}/s`;
  if (unit === "percent") return `${number(value, 1)}%`;
  if (unit === "seconds") return `${number(value * 1000, 1)} ms`;
  return number(value, 1);
}

// --- colours -----------------------------------------------------------------------------------------------------

// A canvas knows no custom properties: each token is resolved by an element, for the scheme that is shown.
function palette(section) {
  const probe = section.appendChild(document.createElement("span"));
  probe.hidden = true;
  const colour = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const colours = { line: colour("--accent"), band: colour("--accent-soft"), grid: colour("--line"), ink: colour("--ink-soft") };
  for (const [kind, token] of Object.entries(MARK_TOKENS)) colours[kind] = colour(token);
  probe.remove();
  return colours;
}

// --- drawing -----------------------------------------------------------------------------------------------------

function drawMarks(plot, marks, colours) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const mark of marks) {
    const x = Math.round(plot.valToPos(mark.time, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = colours[mark.kind];
    ctx.setLineDash(mark.kind === "map" ? [2 * devicePixelRatio, 3 * devicePixelRatio] : []);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

// A date whose local hours are those of the zone: uPlot puts its ticks by them.
function inZone(seconds) {
  return window.uPlot.tzDate(new Date(seconds * 1000), timeZone);
}

function times(plot, splits, axis, space, step) {
  return splits.map((split) => {
    const local = inZone(split);
    const midnight = local.getHours() === 0 && local.getMinutes() === 0;
    if (step < 60) return toTheSecond.format(split * 1000);
    return (step >= 86_400 || midnight ? dayOfMonth : timeOfDay).format(split * 1000);
  });
}

// So it is in the first seconds of a server. Its values are drawn as points; uPlot would show a day around them.
function hasOneMoment(plot) {
  return plot.data[0].length === 1;
}

function options(state, figure, width) {
  const { colours } = state;
  const axis = { stroke: colours.ink, font: `11px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } };
  const highest = (plot, least, most) => Math.max(LEAST[figure.unit] ?? 1, (most ?? 0) * 1.1);
  return {
    width,
    height: HEIGHT,
    tzDate: inZone,
    // On the right there is room for half of the last time, which would be cut off.
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: state.key }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: {
      x: { range: (plot, from, to) => (hasOneMoment(plot) ? [from - 60, from + 60] : [from, to]) },
      y: { range: (plot, least, most) => [0, highest(plot, least, most)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 24, gap: 4, space: 70, values: times },
      {
        ...axis,
        grid: { stroke: colours.grid, width: 1 },
        size: AXIS_WIDTH,
        gap: 4,
        space: 32,
        values: (plot, splits) => splits.map((split) => words(split, figure.unit)),
      },
    ],
    series: [
      {},
      { stroke: colours.line, width: 1.5, points: { show: hasOneMoment, size: 5 } },
      { stroke: "transparent", width: 0, points: { show: false } },
    ],
    bands: [{ series: [2, 1], fill: colours.band }],
    hooks: {
      draw: [(plot) => drawMarks(plot, state.marks, colours)],
      setCursor: [(plot) => read(state, plot)],
    },
  };
}

// Of players the most are drawn: nobody counts them in fractions.
function main(figure) {
  return figure.unit === "players" ? figure.high : figure.mean;
}

function columns(found, figure) {
  const first = Date.parse(found.start) / 1000;
  return [figure.mean.map((_, index) => first + index * found.step_seconds), main(figure), figure.high];
}

function make(section, uPlot) {
  const state = drawn.get(section);
  for (const plot of state.plots.values()) plot.destroy();
  state.plots.clear();
  state.colours = palette(section);
  for (const figure of state.found.figures) {
    const box = section.querySelector(`[data-plot="${figure.name}"] .plot-canvas`);
    if (!box) continue;
    const plot = new uPlot(options(state, figure, box.clientWidth), columns(state.found, figure), box);
    plot.over.addEventListener("touchmove", (event) => follow(plot, event), { passive: true });
    state.plots.set(figure.name, plot);
  }
  read(state, null);
}

// A finger that moves sideways reads the chart as a mouse does.
function follow(plot, event) {
  const { left } = plot.over.getBoundingClientRect();
  plot.setCursor({ left: event.touches[0].clientX - left, top: 1 });
}

// --- reading -----------------------------------------------------------------------------------------------------

// Shows the values below the cursor, or the newest ones; `plot` is the one that the cursor moved in.
function read(state, plot) {
  const index = plot?.cursor.idx ?? null;
  for (const figure of state.found.figures) {
    const value = state.section.querySelector(`[data-plot="${figure.name}"] [data-value]`);
    if (!value) continue;
    const at = index ?? figure.mean.findLastIndex((each) => each != null);
    const [shown, high] = [main(figure)[at], figure.high[at]].map((each) => words(each, figure.unit));
    const peak = index != null && high !== shown ? ` · ${state.section.dataset.highest} ${high}` : "";
    value.textContent = shown + peak;
  }
  const line = state.section.querySelector("[data-moment]");
  if (!line) return;
  if (index == null) {
    line.textContent = "\u00a0";
    return;
  }
  const time = plot.data[0][index];
  const near = state.marks.filter((mark) => Math.abs(plot.valToPos(mark.time, "x") - plot.cursor.left) <= MARK_REACH);
  line.textContent = [moment.format(time * 1000), ...near.map((mark) => [mark.title, mark.detail].filter(Boolean).join(": "))].join(" · ");
}

// --- life --------------------------------------------------------------------------------------------------------

async function load(section) {
  const response = await fetch(section.dataset.charts, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${response.status}`);
  const found = await response.json();
  const marks = (found.marks ?? []).map((mark) => ({ ...mark, time: Date.parse(mark.at) / 1000 }));
  return { found, marks, askedAt: Date.now() };
}

async function draw(section) {
  if (drawn.has(section) || !section.querySelector("[data-plot]")) return;
  const state = { section, plots: new Map(), found: { figures: [] }, marks: [], key: section.dataset.charts };
  drawn.set(section, state);
  try {
    const [uPlot, loaded] = await Promise.all([uplot(section), load(section)]);
    if (!section.isConnected) return;
    Object.assign(state, loaded);
    make(section, uPlot);
    state.resized = new ResizeObserver(() => resize(state));
    state.resized.observe(section);
    section.dataset.drawn = "";
  } catch {
    // The values and the table are there without the drawing; the next refresh tries again.
    drawn.delete(section);
  }
}

function resize(state) {
  for (const [name, plot] of state.plots) {
    const width = state.section.querySelector(`[data-plot="${name}"] .plot-canvas`).clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }
}

async function refresh(state) {
  try {
    Object.assign(state, await load(state.section));
  } catch {
    return; // as it was; the next time may do better
  }
  for (const figure of state.found.figures) state.plots.get(figure.name)?.setData(columns(state.found, figure));
  if (![...state.plots.values()].some((plot) => plot.cursor.idx != null)) read(state, null);
}

function isInView(section) {
  const box = section.getBoundingClientRect();
  return box.bottom > 0 && box.top < innerHeight;
}

function look() {
  for (const [section, state] of drawn) {
    if (section.isConnected) continue;
    state.resized?.disconnect();
    for (const plot of state.plots.values()) plot.destroy();
    drawn.delete(section);
  }
  for (const section of document.querySelectorAll("[data-charts]")) draw(section);
}

// A chart of a day has steps of two minutes, two pixels wide: what is new can wait for some of them.
function isDue({ found, askedAt }) {
  return Date.now() - askedAt >= Math.max(REFRESH_MS, 2500 * found.step_seconds) - 1000;
}

function tick() {
  look();
  if (document.hidden) return;
  for (const [section, state] of drawn) if (isInView(section) && isDue(state)) refresh(state);
}

function recolour() {
  if (window.uPlot) for (const section of drawn.keys()) make(section, window.uPlot);
}

look();
document.addEventListener("htmx:load", look);
document.addEventListener("visible-again", tick);
setInterval(tick, REFRESH_MS);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
