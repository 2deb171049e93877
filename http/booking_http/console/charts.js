// Small charts, drawn as SVG: lines over time, and bars.

import { element, rate, svg, text } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 120;
const SAMPLES_MAX = 300; // five minutes of one a second

// Lines over time. `series` is asked for by name as values come; the newest is at the right.
export class Lines {
  constructor(parent, label) {
    this.label = label;
    this.names = [];
    this.history = new Map();
    this.colours = new Map();
    this.length = 0;
    this.plot = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    });
    this.top = element("span", { className: "top" });
    this.legend = element("ul", { className: "legend" });
    parent.append(element("div", { className: "chart" }, this.plot, this.top), this.legend);
  }

  // values: {name: number}; colours: {name: colour}
  add(values, colours) {
    this.length = Math.min(this.length + 1, SAMPLES_MAX);
    for (const [name, value] of Object.entries(values)) {
      if (!this.history.has(name)) this.history.set(name, Array(this.length - 1).fill(null));
      this.history.get(name).push(value);
      this.colours.set(name, colours[name]);
    }
    for (const [name, kept] of this.history) {
      if (!(name in values)) kept.push(null);
      if (kept.length > SAMPLES_MAX) kept.shift();
      if (kept.every((value) => value === null)) this.history.delete(name);
    }
    this.draw(values);
  }

  draw(values) {
    const all = [...this.history.values()].flat().filter((value) => value !== null);
    const most = ceiling(Math.max(0, ...all));
    const paths = [...this.history].map(([name, kept]) => svg("path", {
      d: path(kept, most), fill: "none", stroke: this.colours.get(name),
      "stroke-width": 2, "vector-effect": "non-scaling-stroke",
    }));
    this.plot.replaceChildren(...grid(), ...paths);
    text(this.top, rate(most));
    const words = Object.entries(values).map(([name, value]) => `${name} ${rate(value)}`);
    this.plot.setAttribute("aria-label", `${this.label}: now ${words.join(", ")}`);
    this.legend.replaceChildren(...Object.entries(values).map(([name, value]) =>
      element("li", {}, swatch(this.colours.get(name)), `${name} `,
        element("b", { textContent: rate(value) }))));
  }
}

export function swatch(colour) {
  const made = svg("svg", { viewBox: "0 0 10 10", class: "swatch", "aria-hidden": "true" });
  made.append(svg("rect", { width: 10, height: 10, rx: 2, fill: colour }));
  return made;
}

// A number that is easy to read and not below.
function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function path(values, most) {
  let d = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const x = WIDTH - ((values.length - 1 - index) * WIDTH) / (SAMPLES_MAX - 1);
    const y = HEIGHT - 2 - (value / most) * (HEIGHT - 4);
    d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return d;
}

function grid() {
  return [0.25, 0.5, 0.75].map((part) => svg("line", {
    x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part, class: "grid",
    "vector-effect": "non-scaling-stroke",
  }));
}

// One bar for each value, brought up to date in place.
export class Bars {
  constructor(parent, label) {
    this.label = label;
    this.plot = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    });
    this.top = element("span", { className: "top" });
    parent.append(element("div", { className: "chart" }, this.plot, this.top));
  }

  // bars: [{value, colour, title}]
  set(bars) {
    const most = ceiling(Math.max(0, ...bars.map((bar) => bar.value)));
    const width = WIDTH / Math.max(1, bars.length);
    while (this.plot.childElementCount > bars.length) this.plot.lastChild.remove();
    bars.forEach((bar, index) => {
      let rect = this.plot.children[index];
      if (rect === undefined) {
        rect = svg("rect", {}, svg("title"));
        this.plot.append(rect);
      }
      const height = Math.max(0.5, (bar.value / most) * (HEIGHT - 2));
      rect.setAttribute("x", (index * width).toFixed(2));
      rect.setAttribute("width", Math.max(0.5, width - 0.4).toFixed(2));
      rect.setAttribute("y", (HEIGHT - height).toFixed(1));
      rect.setAttribute("height", height.toFixed(1));
      rect.setAttribute("fill", bar.colour);
      text(rect.firstChild, bar.title);
    });
    text(this.top, rate(most));
    const highest = bars.reduce((a, b) => (b.value > a.value ? b : a), { value: 0, title: "" });
    this.plot.setAttribute("aria-label", `${this.label}: highest ${highest.title || "none"}`);
  }
}
