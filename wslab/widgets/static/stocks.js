/** Stock prices: a line chart, and a tile for each symbol that shows, hides and reads it. */
import { button, cssVariable, element, liveView, onTheme, visible } from "./common.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./common.js").Model} Model */
/** @typedef {number | null} Price */

/**
 * The kernel's columns as this page has them; column `i` of the run is at index `i - start`.
 * @typedef {{run: number, start: number, times: number[], prices: Map<string, Price[]>, ignored: number,
 *   name: string, running: boolean, ticks: number, seq: number, asked: boolean}} State
 */
/** What is drawn: the chosen window, aligned. @typedef {{times: number[], symbols: string[], prices: Price[][], lines: Price[][]}} Shown */

/**
 * The part of uPlot that is used here.
 * @typedef {{data: Price[][], width: number, bbox: {left: number, top: number, width: number, height: number}, ctx: CanvasRenderingContext2D,
 *   cursor: {idx?: number | null}, series: {show: boolean}[], destroy(): void, setData(data: Price[][]): void,
 *   setSeries(index: number, options: {show: boolean}): void, setSize(size: {width: number, height: number}): void,
 *   setCursor(at: {left: number, top: number}): void,
 *   valToPos(value: number, scale: string, canvas?: boolean): number}} Plot
 */
// @ts-ignore -- the vendored script, joined in front of this module, defines the name
const Plot = /** @type {{new (options: object, data: Price[][], host: Element): Plot, tzDate(date: Date, zone: string): Date}} */ (uPlot);

// Told apart with protanopia, deuteranopia and tritanopia too, and 4:1 or better against the background:
// `tests/widgets/test_stocks.py` computes both. Symbols beyond these have dashed lines.
const LIGHT = ["#004c75", "#d25b00", "#009166", "#a948ac", "#644900", "#424444"];
const DARK = ["#468fbc", "#ff8a3d", "#32c79a", "#e39dfc", "#f3e646", "#c9d3de"];

const HEIGHT = 240;
const SPARK = 240;
const DAY = 86400;

/** @param {number} index */
const dashOf = (index) => [[], [6, 3], [2, 3], [8, 3, 2, 3]][Math.floor(index / LIGHT.length) % 4];

/** @param {number} value */
const priceText = (value) => (Math.abs(value) >= 1 || value === 0 ? value.toFixed(2) : value.toPrecision(4));

/** @param {number} percent @returns {[string, string]} words with a sign and an arrow, and a class name */
function changeText(percent) {
  const rounded = Math.abs(percent).toFixed(2);
  if (rounded === "0.00") return [`• ${rounded} %`, "wslab-dim"];
  return percent > 0 ? [`▲ +${rounded} %`, "wslab-ok"] : [`▼ −${rounded} %`, "wslab-error"];
}

/** @param {number} seconds @param {boolean} whole whether only days matter @returns {string} the market's time, UTC */
function moment(seconds, whole) {
  const iso = new Date(seconds * 1000).toISOString();
  return whole ? iso.slice(0, 10) : `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
}

/** @param {unknown} _plot @param {number[]} splits @param {unknown} _axis @param {unknown} _space @param {number} step */
function timeLabels(_plot, splits, _axis, _space, step) {
  let day = "";
  return splits.map((seconds) => {
    const iso = new Date(seconds * 1000).toISOString();
    if (step >= 300 * DAY) return iso.slice(0, 4);
    if (step >= 28 * DAY) return iso.slice(0, 7);
    if (step >= DAY) return iso.slice(0, 10);
    const time = iso.slice(11, step >= 60 ? 16 : step >= 1 ? 19 : 23);
    if (iso.slice(0, 10) === day) return time;
    day = iso.slice(0, 10);
    return `${time}\n${day}`;
  });
}

/** @param {boolean} percent */
const valueLabels = (percent) => (/** @type {unknown} */ _plot, /** @type {number[]} */ splits, /** @type {unknown} */ _axis, /** @type {unknown} */ _space, /** @type {number} */ step) => {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return splits.map((value) => {
    const text = Math.abs(value).toFixed(digits);
    const sign = value < 0 ? "−" : percent && value > 0 ? "+" : "";
    return `${sign}${text}${percent ? " %" : ""}`;
  });
};

/** @param {Price[]} row @param {number} index @returns {Price} the newest price up to `index` */
function known(row, index) {
  for (let i = Math.min(index, row.length - 1); i >= 0; i--) if (row[i] !== null) return row[i];
  return null;
}

/** @param {Price[]} row @returns {Price[]} per cent against the first price of the row */
function relative(row) {
  const base = row.find((price) => price !== null);
  if (!base) return row.map(() => null);
  return row.map((price) => (price === null ? null : (price / base - 1) * 100));
}

/** @param {State} state @param {number} columns @param {boolean} percent @returns {Shown} */
function windowOf(state, columns, percent) {
  const from = Math.max(0, state.times.length - columns);
  const symbols = [...state.prices.keys()];
  const prices = symbols.map((symbol) => state.prices.get(symbol)?.slice(from) ?? []);
  return { times: state.times.slice(from), symbols, prices, lines: percent ? prices.map(relative) : prices };
}

/** @returns {State} */
function create() {
  return { run: -1, start: 0, times: [], prices: new Map(), ignored: 0, name: "", running: false, ticks: 0, seq: 0, asked: false };
}

/** @param {State} state @param {Content} content @param {Uint8Array[]} buffers @param {Model} model */
function receive(state, content, buffers, model) {
  if (content.t !== "prices") return;
  const { name, running, ticks, ignored, s } = content;
  Object.assign(state, { name, running, ticks, ignored, seq: s });
  const gone = content.start - state.start;
  if (content.run !== state.run || gone < 0 || gone > state.times.length) {
    Object.assign(state, { run: content.run, start: content.start, times: [], prices: new Map() });
  } else if (gone > 0) {
    state.times.splice(0, gone);
    for (const row of state.prices.values()) row.splice(0, gone);
    state.start = content.start;
  }
  const at = content.from - state.start;
  if (at > state.times.length) {
    // A message was lost on its way (Jupyter drops some under load): once more from the beginning.
    if (!state.asked) model.send({ t: "hello" });
    state.asked = true;
    return;
  }
  state.asked = false;
  const times = new Float64Array(buffers[0].buffer);
  const prices = new Float64Array(buffers[1].buffer);
  /** @type {string[]} */
  const symbols = content.symbols;
  times.forEach((time, column) => {
    state.times[at + column] = time;
  });
  symbols.forEach((symbol, place) => {
    const row = state.prices.get(symbol) ?? [];
    state.prices.set(symbol, row);
    while (row.length < at) row.push(null);
    for (let column = 0; column < times.length; column++) {
      const price = prices[column * symbols.length + place];
      row[at + column] = Number.isNaN(price) ? null : price;
    }
    while (row.length < state.times.length) row.push(null);
  });
}

/** @param {HTMLCanvasElement} canvas @param {Price[]} row @param {string} colour */
function sparkline(canvas, row, colour) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const stride = Math.ceil(row.length / SPARK);
  const values = row.filter((_value, index) => (row.length - 1 - index) % stride === 0);
  const numbers = values.filter((value) => value !== null);
  if (!context) return;
  context.clearRect(0, 0, width, height);
  if (numbers.length < 2) return;
  const low = Math.min(...numbers);
  const span = Math.max(...numbers) - low || 1;
  const edge = 1.5 * ratio;
  Object.assign(context, { strokeStyle: colour, lineWidth: 1.25 * ratio, lineJoin: "round" });
  context.beginPath();
  values.forEach((value, index) => {
    if (value === null) return;
    const x = edge + (index / (values.length - 1)) * (width - 2 * edge);
    context.lineTo(x, height - edge - ((value - low) / span) * (height - 2 * edge));
  });
  context.stroke();
}

/**
 * Names at the right ends of the lines, so that no colour has to be looked up; moved apart where they would overlap.
 * @param {Plot} plot @param {string[]} symbols @param {string[]} colours @param {string} font
 */
function endLabels(plot, symbols, colours, font) {
  const ratio = devicePixelRatio || 1;
  const { ctx: context, bbox } = plot;
  const step = 12 * ratio;
  const labels = symbols
    .map((symbol, index) => ({ symbol, colour: colours[index], value: known(plot.data[index + 1], Infinity), show: plot.series[index + 1].show }))
    .filter(({ value, show }) => show && value !== null)
    .map((label) => ({ ...label, y: plot.valToPos(/** @type {number} */ (label.value), "y", true) }))
    .sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + step);
  let bottom = bbox.top + bbox.height;
  for (const label of [...labels].reverse()) {
    label.y = Math.min(label.y, bottom);
    bottom = label.y - step;
  }
  context.save();
  Object.assign(context, { font: `600 ${11 * ratio}px ${font}`, textAlign: "left", textBaseline: "middle" });
  for (const { symbol, colour, y } of labels) {
    context.fillStyle = colour;
    context.fillText(visible(symbol).slice(0, 8), bbox.left + bbox.width + 6 * ratio, y);
  }
  context.restore();
}

/** @param {Element} root @returns {string[]} the palette that is legible on its background */
function palette(root) {
  const [red = 255, green = 255, blue = 255] = (getComputedStyle(root).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? DARK : LIGHT;
}

/**
 * A button that shows or hides its symbol, and says its price.
 * @param {string} symbol @param {number} index @param {() => void} toggle
 */
function tileOf(symbol, index, toggle) {
  const price = element("span", { class: "wslab-stocks-price" });
  const change = element("span", {});
  const canvas = element("canvas", { "aria-hidden": "true" });
  const swatch = element("i", { "aria-hidden": "true", class: dashOf(index).length ? "wslab-stocks-dashed" : "" });
  const name = visible(symbol);
  const attributes = { type: "button", title: `Show or hide ${name}; change against its first price in the window`, onclick: toggle };
  const tile = element("button", attributes, element("span", { class: "wslab-stocks-head" }, swatch, element("b", {}, name), price), canvas, change);
  tile.dataset.symbol = symbol;
  return { tile, price, change, canvas, swatch };
}

/** @param {State} state @param {Model} _model @param {HTMLElement} root */
function render(state, _model, root) {
  let percent = true;
  let columns = 500;
  const hidden = new Set();
  /** @type {Plot | null} */
  let plot = null;
  /** @type {ReturnType<typeof tileOf>[]} */
  let tiles = [];
  let built = "";
  /** @type {string[]} */
  let colours = [];
  /** @type {Shown} */
  let shown = windowOf(state, columns, percent);

  const source = element("span", { class: "wslab-dim" });
  const badge = element("span", { class: "wslab-badge" });
  const when = element("span", { class: "wslab-mono wslab-dim" });
  const size = element("select", { "aria-label": "Window", title: "How much of the history is shown", onchange: () => {
    columns = Number(size.value);
    draw();
  } });
  for (const [value, label] of [[100, "last 100"], [500, "last 500"], [2000, "last 2000"], [Infinity, "all"]]) {
    size.append(element("option", { value, selected: value === columns }, String(label)));
  }
  const unit = button("% change", "Per cent against each symbol's first price in the window, or prices", () => {
    percent = !percent;
    unit.setAttribute("aria-pressed", String(percent));
    rebuild();
    draw();
  }, { "aria-pressed": "true", "aria-label": null });
  const grid = element("div", { class: "wslab-stocks-tiles", role: "group", "aria-label": "Symbols" });
  const host = element("div", { class: "wslab-stocks-plot", tabindex: "0", role: "slider", "aria-label": "Time in the chart",
    "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0, onkeydown: move });
  const empty = element("div", { class: "wslab-empty" });
  root.classList.add("wslab-stocks");
  root.dataset.view = "stocks";
  // else JupyterLab takes the arrow keys to go to another cell
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.append(element("div", { class: "wslab-bar" }, element("b", {}, "Prices"), source, badge, element("span", { class: "wslab-grow" }), when, size, unit), grid, host, empty);

  /** @param {KeyboardEvent} event */
  function move(event) {
    const last = shown.times.length - 1;
    const here = plot?.cursor.idx ?? last;
    const steps = /** @type {{[key: string]: number}} */ ({ ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - 10, PageDown: here + 10, Home: 0, End: last });
    if (!plot || last < 0 || (event.key !== "Escape" && !(event.key in steps))) return;
    event.preventDefault();
    if (event.key === "Escape") plot.setCursor({ left: -10, top: -10 });
    else plot.setCursor({ left: plot.valToPos(shown.times[Math.min(last, Math.max(0, steps[event.key]))], "x"), top: 1 });
  }

  /** Writes what the tiles and the clock say: at the cursor, or at the right edge. */
  function read() {
    const last = shown.times.length - 1;
    if (last < 0) return;
    const at = Math.min(plot?.cursor.idx ?? last, last);
    const whole = shown.times[0] % DAY === 0 && shown.times[last] % DAY === 0;
    when.textContent = moment(shown.times[at], whole);
    /** @type {string[]} */
    const spoken = [];
    tiles.forEach(({ price, change }, index) => {
      const row = shown.prices[index];
      const now = known(row, at);
      const base = row.find((value) => value !== null);
      price.textContent = now === null ? "–" : priceText(now);
      const [words, colour] = now !== null && base ? changeText((now / base - 1) * 100) : ["–", "wslab-dim"];
      change.textContent = words;
      change.className = `wslab-stocks-change ${colour}`;
      if (!hidden.has(shown.symbols[index])) spoken.push(`${visible(shown.symbols[index])} ${price.textContent}, ${words}`);
    });
    host.setAttribute("aria-valuemax", String(last));
    host.setAttribute("aria-valuenow", String(at));
    host.setAttribute("aria-valuetext", `${when.textContent}: ${spoken.join("; ")}`);
  }

  function rebuild() {
    plot?.destroy();
    plot = null;
    const all = palette(root);
    colours = shown.symbols.map((_symbol, index) => all[index % all.length]);
    tiles = shown.symbols.map((symbol, index) => tileOf(symbol, index, () => {
      if (!hidden.delete(symbol)) hidden.add(symbol);
      plot?.setSeries(index + 1, { show: !hidden.has(symbol) });
      draw();
    }));
    tiles.forEach(({ tile, swatch }, index) => {
      tile.setAttribute("aria-pressed", String(!hidden.has(shown.symbols[index])));
      swatch.style.borderColor = colours[index];
    });
    grid.replaceChildren(...tiles.map(({ tile }) => tile));
    built = JSON.stringify(shown.symbols);
    if (!shown.times.length) return;
    const [ink, line] = [cssVariable(root, "--w-fg2"), cssVariable(root, "--w-line")];
    const family = getComputedStyle(root).fontFamily;
    const style = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, size: 4 }, font: `11px ${family}` };
    const room = 14 + 8 * Math.min(8, Math.max(...shown.symbols.map((symbol) => symbol.length)));
    const names = shown.symbols;
    plot = new Plot({
      width: Math.max(200, host.clientWidth),
      height: HEIGHT,
      padding: [10, room, 0, 4],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      tzDate: (/** @type {number} */ seconds) => Plot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      axes: [
        { ...style, space: 90, size: (/** @type {unknown} */ _plot, /** @type {string[] | null} */ labels) => (labels?.some((label) => label.includes("\n")) ? 38 : 26), values: timeLabels },
        { ...style, space: 36, size: (/** @type {unknown} */ _plot, /** @type {string[] | null} */ labels) => 14 + 6.5 * Math.max(3, ...(labels ?? []).map((label) => label.length)), values: valueLabels(percent) },
      ],
      series: [{}, ...names.map((symbol, index) => ({ stroke: colours[index], dash: dashOf(index), width: 1.5, spanGaps: true, points: { show: false }, show: !hidden.has(symbol) }))],
      hooks: { setCursor: [read], draw: [(/** @type {Plot} */ self) => endLabels(self, names, colours, family)] },
    }, [shown.times, ...shown.lines], host);
  }

  function draw() {
    shown = windowOf(state, columns, percent);
    root.dataset.seq = String(state.seq);
    root.dataset.points = String(shown.times.length);
    root.dataset.symbols = String(shown.symbols.length);
    source.textContent = [visible(state.name), `${state.ticks.toLocaleString("en")} tick${state.ticks === 1 ? "" : "s"}`, state.ignored ? `${state.ignored} more not shown` : ""].filter(Boolean).join(" · ");
    badge.textContent = state.running ? "running" : "idle";
    badge.className = `wslab-badge ${state.running ? "wslab-ok" : "wslab-dim"}`;
    const bare = !shown.times.length;
    empty.hidden = !bare;
    empty.textContent = "No prices yet: the feed runs while somebody subscribes to it.";
    grid.hidden = host.hidden = bare;
    if (JSON.stringify(shown.symbols) !== built || (!plot && !bare)) rebuild();
    else plot?.setData([shown.times, ...shown.lines]);
    fit();
    tiles.forEach(({ tile, canvas }, index) => {
      tile.setAttribute("aria-pressed", String(!hidden.has(shown.symbols[index])));
      sparkline(canvas, shown.prices[index], colours[index]);
    });
    read();
  }

  /** A plot that was built while nothing was laid out has no width of its own yet. */
  function fit() {
    const width = host.clientWidth;
    if (plot && width && plot.width !== width) plot.setSize({ width, height: HEIGHT });
  }

  const resized = new ResizeObserver(() => {
    if (!host.clientWidth) return;
    fit();
    tiles.forEach(({ canvas }, index) => sparkline(canvas, shown.prices[index], colours[index]));
  });
  resized.observe(host); // it also comes and goes with the first prices
  const themed = onTheme(() => {
    rebuild();
    draw();
  });
  return {
    draw,
    dispose() {
      resized.disconnect();
      themed();
      plot?.destroy();
    },
  };
}

export default liveView(create, receive, render);
