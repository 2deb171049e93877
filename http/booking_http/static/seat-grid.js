// Seats as a grid that a keyboard and a screen reader can walk through: one tab stop, arrow keys
// inside it (the "roving tabindex" of the ARIA authoring practices). Up to a few hundred seats; a
// larger hall is shown by sections, see sections.js.

import { h } from "./dom.js";

const GAP_PX = 5;
const SIZE_MAX_PX = 46;
const SIZE_MIN_PX = 31; // above the 24 px that WCAG 2.2 asks of a target
const NARROW_MIN_PX = 26; // in the rows of a plan, which are wider than a phone in any case
const COLUMNS_SMALL = 10; // for a hall of 50: five rows of ten, as wide as it may get
const COLUMNS_LARGE = 24;
const SMALL_SEATS = 100;
const PAGE_ROWS = 5;

export class SeatGrid {
  #cells = new Map(); // seat number to button
  #numbers;
  #columns = 0;
  #rows = []; // of indices
  #current = 0; // index of the seat that the tab key reaches
  #observer;

  // label(seat) and state(seat) say how a seat is read out and shown; choose(seat) is called when it
  // is activated; look(seat), when it gets the focus. `rows` are those of a plan, with all the seats;
  // without them there are as many columns as there is room for.
  constructor({ seats, rows, name, hint, label, state, choose, look }) {
    Object.assign(this, { rows, label, state, choose, look });
    this.seats = rows ? rows.flatMap((row) => row.seats).filter(Boolean) : seats;
    this.#numbers = this.seats.map((seat) => seat.seatNumber);
    this.element = h("div", { class: rows ? "grid planned" : "grid", role: "grid", "aria-label": name });
    if (hint) this.element.setAttribute("aria-describedby", hint);
    for (const seat of this.seats) this.#cells.set(seat.seatNumber, this.#cell(seat));
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
      text: seat.label ?? seat.seatNumber,
    });
    if (seat.colour) cell.style.setProperty("--grade", seat.colour);
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

  // To be called once the element is on the page.
  layout() {
    const width = this.element.clientWidth;
    if (width === 0) return;
    const small = this.#numbers.length <= SMALL_SEATS;
    const fitting = Math.floor((width + GAP_PX) / (SIZE_MIN_PX + GAP_PX));
    const even = Math.max(4, fitting - (fitting % 2));
    const columns = this.rows ? 1 : small ? COLUMNS_SMALL : Math.min(COLUMNS_LARGE, even);
    // An aisle, or a row's name, takes a seat's worth of room.
    const widest = this.rows
      ? Math.max(...this.rows.map((row) => row.seats.length + row.aisles.length + 2))
      : columns + (small ? 1 : 0);
    const size = Math.min(SIZE_MAX_PX, (width - widest * GAP_PX) / widest);
    this.element.style.setProperty("--seat", `${Math.floor(this.rows ? Math.max(NARROW_MIN_PX, size) : size)}px`);
    if (columns === this.#columns) return;
    this.#columns = columns;
    this.#arrange(this.rows ?? this.#even(columns, small ? [columns / 2] : []));
  }

  #even(columns, aisles) {
    const rows = [];
    for (let at = 0; at < this.seats.length; at += columns) {
      rows.push({ name: "", aisles, seats: this.seats.slice(at, at + columns) });
    }
    return rows;
  }

  #arrange(rows) {
    const held = document.activeElement;
    let index = 0;
    this.#rows = rows.map((row) => row.seats.filter(Boolean).map(() => index++));
    this.element.setAttribute("aria-rowcount", rows.length);
    this.element.setAttribute("aria-colcount", Math.max(...rows.map((row) => row.seats.length)));
    this.element.replaceChildren(...rows.map((row, number) =>
      h("div", { role: "row", "aria-rowindex": number + 1 }, this.#rowName(row), row.seats.map((seat, column) => {
        const cell = seat ? this.#cells.get(seat.seatNumber) : h("span", { class: "gap", "aria-hidden": "true" });
        cell.classList.toggle("aisle", row.aisles.includes(column));
        if (seat) cell.setAttribute("aria-colindex", column + 1);
        return cell;
      }))));
    this.#tabStop(this.#current);
    if (this.element.contains(held)) held.focus();
  }

  #rowName({ name }) {
    return name ? h("span", { class: "row-name", role: "rowheader", text: name }) : null;
  }

  // -- the keyboard --------------------------------------------------------------------------------

  #key(event) {
    const last = this.#numbers.length - 1;
    const row = this.#rows.findIndex((each) => each.includes(this.#current));
    const column = this.#rows[row].indexOf(this.#current);
    const other = (by) => {
      const wanted = this.#rows[row + by];
      return wanted?.[Math.min(column, wanted.length - 1)] ?? -1;
    };
    const target = {
      ArrowLeft: this.#current - 1,
      ArrowRight: this.#current + 1,
      ArrowUp: other(-1),
      ArrowDown: other(1),
      PageUp: other(-PAGE_ROWS),
      PageDown: other(PAGE_ROWS),
      Home: event.ctrlKey ? 0 : this.#rows[row][0],
      End: event.ctrlKey ? last : this.#rows[row].at(-1),
    }[event.key];
    if (target === undefined || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (target >= 0 && target <= last) this.#move(target);
  }

  #move(index) {
    this.#tabStop(index);
    const cell = this.#cells.get(this.#numbers[index]);
    cell.focus();
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
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
