// A colour and a letter for each instance, the same for as long as the page is open. The letter
// is there because colours alone tell nothing to some, and repeat after eight.

const COLOURS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8271d1", "#8c8c1f",
];
const DARK_TEXT = new Set(["#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]);
const NOBODY = { colour: "#808080", letter: "?", dark: false };
const known = new Map();

export function meet(names) {
  for (const name of [...names].sort()) {
    if (!name || known.has(name)) continue;
    const number = known.size;
    const colour = COLOURS[number % COLOURS.length];
    const letter = String.fromCharCode(65 + (number % 26));
    known.set(name, { colour, letter, dark: DARK_TEXT.has(colour) });
  }
}

export const look = (name) => known.get(name) ?? NOBODY;
export const colours = (names) =>
  Object.fromEntries(names.map((name) => [name, look(name).colour]));
