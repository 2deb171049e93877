// What the plan of a venue says of the seats of a date, so that each is shown where it is.

import { Problem, Unreachable } from "./client.js";

// null: the date has none, or it cannot be had now. Seats are shown by their numbers then.
export async function planOf(client, schedule) {
  try {
    return (await client.plan(schedule)).data;
  } catch (error) {
    if (error instanceof Problem || error instanceof Unreachable) return null;
    throw error;
  }
}

// Tells each seat of the map {number: seat} its section, row, label, category, flags, x and y.
// Returns the sections with something for sale: [{name, title, standing, rows, seats}]; a place
// in a row that is not for sale is null.
export function arrange(plan, seats) {
  const found = plan.sections.map(({ name, rows, standing }) => {
    const inRows = (standing ? [area(standing)] : rows).map((row) => ({
      ...row,
      seats: row.seats.map((planned) => {
        const seat = seats.get(planned.seatNumber);
        return seat ? Object.assign(seat, planned, { section: name, row: row.name }) : null;
      }),
    }));
    const forSale = inRows.flatMap((row) => row.seats).filter(Boolean);
    return { name, title: name, standing: Boolean(standing), rows: inRows, seats: forSale };
  });
  return found.filter((section) => section.seats.length);
}

function area({ capacity, firstNumber, category }) {
  const places = Array.from({ length: capacity }, (_, index) =>
    ({ seatNumber: firstNumber + index, label: String(index + 1), category }));
  return { name: "", aisles: [], seats: places };
}

// [{id, name, colour, prices}] of each category on sale, the best one first; without a plan one.
export function pricesOf(plan, seats) {
  const categories = plan?.categories ?? [{ id: undefined, name: "" }];
  return categories.flatMap(({ id, name, colour }) => {
    const priced = seats.filter((seat) => seat.category === id);
    return priced.length ? [{ id, name, colour, prices: pricesFromTo(priced) }] : [];
  });
}

export function pricesFromTo(seats) {
  const prices = seats.map((seat) => seat.price);
  return [lowest(prices), -lowest(prices.map((price) => -price))];
}

const lowest = (values) => values.reduce((one, other) => Math.min(one, other));

// Where to draw seats in a picture so wide: by the plan, or so many columns. [x, y] of each dot's
// corner, its size, and the height of it all.
export function drawing(seats, width, columns, sizeMax) {
  if (seats.some((seat) => seat.x === undefined)) {
    const step = width / columns;
    const dots = seats.map((_, index) => [(index % columns) * step, Math.floor(index / columns) * step]);
    return { dots, size: step * 0.7, height: Math.ceil(seats.length / columns) * step };
  }
  const [xs, ys] = [seats.map((seat) => seat.x), seats.map((seat) => seat.y)];
  const [left, top] = [lowest(xs), lowest(ys)];
  const right = -lowest(xs.map((x) => -x));
  const bottom = -lowest(ys.map((y) => -y));
  const scale = Math.min(width / (right - left + SEAT_CM), sizeMax / SEAT_CM);
  const margin = (width - (right - left + SEAT_CM) * scale) / 2;
  return {
    dots: seats.map(({ x, y }) => [margin + (x - left) * scale, (y - top) * scale]),
    size: SEAT_CM * scale,
    height: (bottom - top + SEAT_CM) * scale,
  };
}

const SEAT_CM = 42;
