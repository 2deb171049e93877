// Small means for making elements. Text only ever goes into the page as text.

const SVG = "http://www.w3.org/2000/svg";

function assign(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

// h("button", {class: "plain", onclick: act, text: "Go"}, child, ...); empty children are left out.
export function h(tag, properties = {}, ...children) {
  const element = assign(document.createElement(tag), properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, properties = {}, ...children) {
  const element = assign(document.createElementNS(SVG, tag), properties);
  element.append(...children);
  return element;
}

// Says something to a screen reader without moving anything. Only the newest words are said.
export function announce(words) {
  const region = document.querySelector("#announcer");
  region.textContent = "";
  // An empty moment between, so that the same words are said again.
  setTimeout(() => { region.textContent = words; }, 50);
}

// Moves the focus to something that is not in the tab order, such as a new heading.
export function focusOn(element) {
  if (!element.hasAttribute("tabindex")) element.setAttribute("tabindex", "-1");
  element.focus({ preventScroll: false });
}

// A button that is off while its work is under way, so that nothing is sent twice.
export function actionButton(properties, act) {
  const button = h("button", { type: "button", ...properties });
  button.addEventListener("click", () => busyWhile(button, act));
  return button;
}

export async function busyWhile(button, act) {
  if (button.hasAttribute("aria-busy") || button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await act();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

// Calls tick with the whole seconds that are left of an end on performance.now()'s clock, each time
// they change, until 0. Returns a function that stops it.
export function countdown(endsAt, tick) {
  let timer = null;
  function run() {
    const leftMs = endsAt - performance.now();
    tick(Math.max(0, Math.ceil(leftMs / 1000)));
    if (leftMs > 0) timer = setTimeout(run, (leftMs % 1000) + 5);
  }
  run();
  return () => clearTimeout(timer);
}
