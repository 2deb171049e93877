// Seats as a grid that a keyboard and a screen reader can walk through: one tab stop, arrow keys
// inside it (the "roving tabindex" of the ARIA authoring practices). Up to a few hundred seats; a
// larger hall is shown by sections, see sections.js.

import { h } from "./dom.js";

const GAP_PX = 5;
const SIZE_MAX_PX = 46;
const SIZE_MIN_PX = 31; // above the 24 px that WCAG 2.2 asks of a target
const COLUMNS_SMALL = 10; // for a hall of 50: five rows of ten, as wide as it may get
const COLUMNS_LARGE = 24;
const SMALL_SEATS = 100;
const PAGE_ROWS = 5;

export class SeatGrid {
  #cells = new Map(); // seat number to button
  #numbers;
  #columns = 0;
  #current = 0; // index of the seat that the tab key reaches
  #observer;

  // label(seat) and state(seat) say how a seat is read out and shown; choose(seat) is called when it
  // is activated; look(seat), when it gets the focus.
  constructor({ seats, name, hint, label, state, choose, look }) {
    Object.assign(this, { label, state, choose, look });
    this.seats = seats;
    this.#numbers = seats.map((seat) => seat.seatNumber);
    this.element = h("div", { class: "grid", role: "grid", "aria-label": name });
    if (hint) this.element.setAttribute("aria-describedby", hint);
    for (const seat of seats) this.#cells.set(seat.seatNumber, this.#cell(seat));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focusin", (event) => this.#focused(event.target));
    this.#observer = new ResizeObserver(() => this.layout());
    this.#observer.observe(this.element);
    this.refresh(this.#numbers);
  }

  destroy() {
    this.#observer.disconnect();
  }

  #cell(seat) {
    const cell = h("button", {
      class: "state", type: "button", role: "gridcell", tabindex: "-1", "data-seat": seat.seatNumber,
      text: seat.seatNumber,
    });
    cell.addEventListener("click", () => this.choose(seat));
    return cell;
  }

  // Shows these seats as they are now. `changed` makes them flash.
  refresh(numbers, changed = false) {
    for (const number of numbers) {
      const cell = this.#cells.get(number);
      if (!cell) continue;
      const seat = this.#seat(number);
      const state = this.state(seat);
      if (changed && cell.dataset.state !== state) this.#flash(cell);
      cell.dataset.state = state;
      cell.setAttribute("aria-label", this.label(seat, state));
      cell.setAttribute("aria-selected", String(state === "chosen"));
      const open = state === "available" || state === "chosen";
      cell.setAttribute("aria-disabled", String(!open));
    }
  }

  #flash(cell) {
    cell.classList.remove("moved");
    void cell.offsetWidth; // so that the animation starts again
    cell.classList.add("moved");
  }

  #seat(number) {
    return this.seats[this.#numbers.indexOf(number)];
  }

  focus(number) {
    this.#move(this.#numbers.indexOf(number));
  }

  // -- rows ----------------------------------------------------------------------------------------

  // As many columns as there is room for. To be called once the element is on the page.
  layout() {
    const width = this.element.clientWidth;
    if (width === 0) return;
    const small = this.#numbers.length <= SMALL_SEATS;
    const fitting = Math.floor((width + GAP_PX) / (SIZE_MIN_PX + GAP_PX));
    const even = Math.max(4, fitting - (fitting % 2));
    const columns = small ? COLUMNS_SMALL : Math.min(COLUMNS_LARGE, even);
    const aisle = 1; // a seat's worth of room in the middle
    const size = (width - columns * GAP_PX) / (columns + (small ? aisle : 0));
    this.element.style.setProperty("--seat", `${Math.floor(Math.min(SIZE_MAX_PX, size))}px`);
    if (columns !== this.#columns) this.#arrange(columns, small);
  }

  #arrange(columns, aisle) {
    const held = document.activeElement;
    this.#columns = columns;
    const rows = [];
    const cells = [...this.#cells.values()];
    for (let at = 0; at < cells.length; at += columns) {
      const inRow = cells.slice(at, at + columns);
      for (const [index, cell] of inRow.entries()) {
        cell.classList.toggle("aisle", aisle && index === columns / 2);
        cell.setAttribute("aria-colindex", index + 1);
      }
      rows.push(h("div", { role: "row", "aria-rowindex": rows.length + 1 }, inRow));
    }
    this.element.setAttribute("aria-rowcount", rows.length);
    this.element.setAttribute("aria-colcount", columns);
    this.element.replaceChildren(...rows);
    this.#tabStop(this.#current);
    if (this.element.contains(held)) held.focus();
  }

  // -- the keyboard --------------------------------------------------------------------------------

  #key(event) {
    const last = this.#numbers.length - 1;
    const row = this.#current - (this.#current % this.#columns);
    const target = {
      ArrowLeft: this.#current - 1,
      ArrowRight: this.#current + 1,
      ArrowUp: this.#current - this.#columns,
      ArrowDown: this.#current + this.#columns,
      PageUp: this.#current - PAGE_ROWS * this.#columns,
      PageDown: this.#current + PAGE_ROWS * this.#columns,
      Home: event.ctrlKey ? 0 : row,
      End: event.ctrlKey ? last : Math.min(last, row + this.#columns - 1),
    }[event.key];
    if (target === undefined || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (target >= 0 && target <= last) this.#move(target);
  }

  #move(index) {
    this.#tabStop(index);
    const cell = this.#cells.get(this.#numbers[index]);
    cell.focus();
    cell.scrollIntoView({ block: "nearest" });
  }

  #focused(cell) {
    const index = this.#numbers.indexOf(Number(cell.dataset.seat));
    if (index < 0) return;
    this.#tabStop(index);
    this.look?.(this.seats[index]);
  }

  #tabStop(index) {
    this.#cells.get(this.#numbers[this.#current])?.setAttribute("tabindex", "-1");
    this.#current = index;
    this.#cells.get(this.#numbers[index])?.setAttribute("tabindex", "0");
  }
}
