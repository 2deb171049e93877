// A large hall as sections: each a button that says how much is free, with a small picture of its
// seats. Ten thousand seats are forty pictures, of which only those that changed are drawn again.

import { h } from "./dom.js";

export const SECTION_FROM = 300; // seats: more than these are shown by sections
const SECTION_MAX = 250;
const COLUMNS = 25;
const DOT_PX = 5;
const DOT_GAP_PX = 2;
const COLOURS = { available: "--free", held: "--held", sold: "--sold", mine: "--mine", chosen: "--mine" };

// Neighbours of one price, at most SECTION_MAX together: [{name, seats, price, first, last}].
export function sectionsOf(seats) {
  const sections = [];
  let run = [];
  for (const [index, seat] of seats.entries()) {
    run.push(seat);
    const next = seats[index + 1];
    if (next && next.price === seat.price && run.length < SECTION_MAX) continue;
    sections.push({
      name: letters(sections.length), seats: run, price: seat.price,
      first: run[0].seatNumber, last: seat.seatNumber,
    });
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
    this.element = h("div", { class: "sections" }, sections.map((one) => this.#button(one, open)));
    for (const one of sections) for (const seat of one.seats) this.#of.set(seat.seatNumber, one);
    this.#scheme.addEventListener("change", this.#recolour);
    this.#drawAll();
  }

  destroy() {
    cancelAnimationFrame(this.#frame);
    this.#scheme.removeEventListener("change", this.#recolour);
  }

  #button(section, open) {
    const { t, words } = { t: this.app.t.bind(this.app), words: this.app.words };
    const rows = Math.ceil(section.seats.length / COLUMNS);
    const step = DOT_PX + DOT_GAP_PX;
    const picture = h("canvas", { width: COLUMNS * step, height: rows * step, "aria-hidden": "true" });
    const left = h("span", { class: "left" });
    const button = h("button", {
      class: "section", type: "button", "data-section": section.name, onclick: () => open(section),
    },
    h("span", { class: "name", text: t("section", section.name) }),
    h("span", { class: "price", text: words.money(section.price) }),
    picture, left);
    this.#parts.set(section, { button, picture, left });
    return button;
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
    this.#dirty.clear();
  }

  #picture(section, colours) {
    const { button, picture, left } = this.#parts.get(section);
    const context = picture.getContext("2d");
    context.clearRect(0, 0, picture.width, picture.height);
    const step = DOT_PX + DOT_GAP_PX;
    let free = 0;
    for (const [index, seat] of section.seats.entries()) {
      const state = this.state(seat);
      free += state === "available" || state === "chosen";
      context.fillStyle = colours[state];
      context.fillRect((index % COLUMNS) * step, Math.floor(index / COLUMNS) * step, DOT_PX, DOT_PX);
    }
    left.textContent = this.app.t("seatsLeft", free);
    button.classList.toggle("full", free === 0);
    const { name, first, last, price } = section;
    button.setAttribute("aria-label", this.app.t("sectionSaid", name, first, last, free, price));
  }
}
