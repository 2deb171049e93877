// A large hall as sections: each a button that says how much is free, with a small picture of its
// seats, and a picture of the whole house where its plan says where seats are. Ten thousand seats are
// forty pictures, of which only those that changed are drawn again.

import { h } from "./dom.js";
import { drawing, pricesFromTo } from "./plan.js";

export const SECTION_FROM = 300; // seats: more than these are shown by sections
const SECTION_MAX = 250;
const COLUMNS = 25;
const WIDTH_PX = 175;
const DOT_MAX_PX = 7;
const HOUSE_PX = 900;
const COLOURS = { available: "--free", held: "--held", sold: "--sold", mine: "--mine", chosen: "--mine" };

// Without a plan: neighbours of one price, at most SECTION_MAX together.
export function sectionsOf(seats, title) {
  const sections = [];
  let run = [];
  for (const [index, seat] of seats.entries()) {
    run.push(seat);
    const next = seats[index + 1];
    if (next && next.price === seat.price && run.length < SECTION_MAX) continue;
    const name = letters(sections.length);
    sections.push({ name, title: title(name), seats: run, first: run[0].seatNumber, last: seat.seatNumber });
    run = [];
  }
  return sections;
}

// A, B, ... Z, AA, AB
function letters(index) {
  const letter = String.fromCharCode(65 + (index % 26));
  return index < 26 ? letter : letters(Math.floor(index / 26) - 1) + letter;
}

export class Sections {
  #parts = new Map(); // section to its button's parts
  #of = new Map(); // seat number to section
  #dirty = new Set();
  #frame = null;
  #scheme = matchMedia("(prefers-color-scheme: dark)");
  #recolour = () => this.#drawAll();

  constructor({ app, sections, state, open }) {
    Object.assign(this, { app, sections, state });
    for (const one of sections) for (const seat of one.seats) this.#of.set(seat.seatNumber, one);
    this.element = h("div", {}, this.#overview(open),
      h("div", { class: "sections" }, sections.map((one) => this.#button(one, open))));
    this.#scheme.addEventListener("change", this.#recolour);
    this.#drawAll();
  }

  destroy() {
    cancelAnimationFrame(this.#frame);
    this.#scheme.removeEventListener("change", this.#recolour);
  }

  // A picture that a click opens a section in; the buttons do the same for everybody else.
  #overview(open) {
    const placed = this.sections.flatMap((one) => one.seats);
    if (placed.some((seat) => seat.x === undefined)) return null;
    this.house = picture(placed, HOUSE_PX, 1, DOT_MAX_PX * 2);
    const { canvas, dots } = this.house;
    canvas.className = "house";
    canvas.addEventListener("click", ({ offsetX, offsetY }) => {
      const scale = canvas.width / canvas.clientWidth;
      const far = dots.map(([x, y]) => Math.hypot(x - offsetX * scale, y - offsetY * scale));
      const nearest = far.reduce((best, one, index) => (one < far[best] ? index : best), 0);
      open(this.#of.get(placed[nearest].seatNumber));
    });
    return canvas;
  }

  #button(section, open) {
    const shown = picture(section.seats, WIDTH_PX, COLUMNS, DOT_MAX_PX);
    const left = h("span", { class: "left" });
    const button = h("button", {
      class: "section", type: "button", "data-section": section.name, onclick: () => open(section),
    },
    h("span", { class: "name", text: section.title }),
    h("span", { class: "price", text: this.#price(section) }),
    shown.canvas, left);
    this.#parts.set(section, { button, shown, left });
    return button;
  }

  #price(section) {
    return this.app.words.moneyRange(...pricesFromTo(section.seats));
  }

  // Draws the sections of these seats with the next frame.
  refresh(numbers) {
    for (const number of numbers) {
      const section = this.#of.get(number);
      if (section) this.#dirty.add(section);
    }
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  #drawAll() {
    for (const section of this.sections) this.#dirty.add(section);
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = null;
    const style = getComputedStyle(document.documentElement);
    const colours = Object.fromEntries(
      Object.entries(COLOURS).map(([state, name]) => [state, style.getPropertyValue(name)]));
    for (const section of this.#dirty) this.#picture(section, colours);
    if (this.#dirty.size && this.house) this.#paint(this.house, colours);
    this.#dirty.clear();
  }

  #paint({ canvas, seats, dots, size }, colours) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const [index, seat] of seats.entries()) {
      context.fillStyle = colours[this.state(seat)];
      context.fillRect(...dots[index], size, size);
    }
  }

  #picture(section, colours) {
    const { button, shown, left } = this.#parts.get(section);
    this.#paint(shown, colours);
    const free = section.seats.filter((seat) => ["available", "chosen"].includes(this.state(seat))).length;
    left.textContent = this.app.t("seatsLeft", free);
    button.classList.toggle("full", free === 0);
    button.setAttribute("aria-label", this.app.t("sectionSaid", section, free, this.#price(section)));
  }
}

function picture(seats, width, columns, sizeMax) {
  const { dots, size, height } = drawing(seats, width, columns, sizeMax);
  const canvas = h("canvas", { width, height: Math.ceil(height), "aria-hidden": "true" });
  return { canvas, seats, dots, size };
}
