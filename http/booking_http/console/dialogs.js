// Questions before anything is done, and words after it.

import { element, find, text } from "./dom.js";

const dialog = () => find("#dialog");
const SHOWN_MS = 4000;
const SHOWN_MS_A_LETTER = 80;
let counter = 0;
let fading = 0;

// Ask, saying what will happen. Resolves to null, or to what was typed into `fields` by name.
// lines: strings or elements; fields: [{name, label, ...properties of the input, options}].
export function ask({ title, lines = [], fields = [], action, danger = false, check }) {
  return new Promise((resolve) => {
    const inputs = fields.map(input);
    const problem = element("p", { className: "bad", role: "alert" });
    const no = element("button", { type: "button", textContent: "Not now" });
    const yes = element("button", { textContent: action, className: danger ? "danger" : "main" });
    const form = element("form", { method: "dialog" },
      element("h2", { id: "dialog-title", textContent: title }),
      ...lines.map((line) =>
        typeof line === "string" ? element("p", { textContent: line }) : line),
      ...inputs.map((each) => each.label), problem, element("p", { className: "buttons" }, no, yes));
    let answer = null;
    no.addEventListener("click", () => dialog().close());
    form.addEventListener("submit", (event) => {
      const values = Object.fromEntries(inputs.map((each) => [each.name, each.control.value]));
      const wrong = check?.(values);
      if (wrong) {
        event.preventDefault();
        text(problem, wrong);
        return;
      }
      answer = values;
    });
    dialog().replaceChildren(form);
    dialog().addEventListener("close", () => resolve(answer), { once: true });
    dialog().showModal();
    // What cannot be taken back is not one Enter away.
    (danger ? no : inputs[0]?.control ?? yes).focus();
  });
}

function input({ name, label, options, value, ...properties }) {
  const control = options
    ? element("select", {}, ...options.map((each) =>
        element("option", { value: each, textContent: each })))
    : element("input", { autocomplete: "off", ...properties });
  control.name = name;
  control.id = `dialog-field-${(counter += 1)}`;
  if (value !== undefined) control.value = value;
  return { name, control, label: element("label", { htmlFor: control.id }, label, " ", control) };
}

// Read out, and shown until the next one or for as long as it takes to read it.
export function say(words, good = true) {
  const status = find("#status");
  status.className = good ? "good" : "bad";
  text(status, words);
  clearTimeout(fading);
  fading = setTimeout(() => text(status, ""), SHOWN_MS + words.length * SHOWN_MS_A_LETTER);
}

// Do something that was confirmed; a refusal is said, and what else went wrong with it.
export async function act(done, work) {
  try {
    const outcome = await work();
    say(typeof done === "function" ? done(outcome) : done);
    return outcome;
  } catch (error) {
    if (error.name !== "Error" || error.status === undefined) throw error;
    say(error.message, false);
    return undefined;
  }
}
