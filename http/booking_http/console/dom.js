// Elements, and lists of them that are brought up to date instead of made anew, so that focus,
// selection and scrolling stay where they are. Text only ever goes into the page as text.

export const find = (selector) => document.querySelector(selector);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// One child for each item, known by its key. `make` builds a child, `update` fills it.
export function keyed(parent, items, key, make, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = there.get(name);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = name;
    }
    there.delete(name);
    update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const gone of there.values()) gone.remove();
}

export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

const whole = new Intl.NumberFormat("en");
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
export const count = (value) => whole.format(Math.round(value));
export const rate = (value) => (value >= 100 ? count(value) : tenth.format(value));

export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  const units = [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"]];
  for (const [size, unit] of units) if (ms >= size) return `${Math.floor(ms / size)} ${unit}`;
  return `${Math.max(0, Math.round(ms))} ms`;
}

export const time = (ms) => new Date(ms).toLocaleTimeString();
