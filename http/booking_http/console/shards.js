// The map of shards, sixteen in a row, and what can be done to one.

import { call } from "./api.js";
import { Bars, swatch } from "./charts.js";
import { act, ask } from "./dialogs.js";
import { count, element, find, keyed, rate, text } from "./dom.js";
import { look } from "./owners.js";

const COLUMNS = 16;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: COLUMNS };

export class Shards {
  constructor(changed) {
    this.changed = changed;
    this.map = find("#map");
    this.legend = find("#legend");
    this.panel = find("#shard");
    this.loads = new Bars(find("#loads"), "Commands a second by shard");
    this.selected = null;
    this.cells = [];
    this.map.addEventListener("keydown", (event) => this.step(event));
    this.makePanel();
  }

  render(view) {
    this.view = view;
    if (this.cells.length !== view.shards.length) this.makeCells(view.shards);
    view.shards.forEach((shard, index) => this.fill(this.cells[index], shard));
    this.renderLegend(view);
    this.loads.set(view.shards.map((shard) => ({
      value: shard.rate, colour: look(shard.owner).colour,
      title: `shard ${shard.shard}, ${shard.owner || "nobody"}: ${rate(shard.rate)}/s`,
    })));
    this.renderPanel();
  }

  makeCells(shards) {
    this.cells = shards.map((shard, index) => {
      const cell = element("button", { type: "button", role: "gridcell" });
      cell.tabIndex = index ? -1 : 0;
      cell.addEventListener("click", () => this.select(index));
      return cell;
    });
    const rows = [];
    for (let first = 0; first < this.cells.length; first += COLUMNS) {
      rows.push(element("div", { role: "row" }, ...this.cells.slice(first, first + COLUMNS)));
    }
    this.map.replaceChildren(...rows);
  }

  fill(cell, shard) {
    const owner = look(shard.owner);
    const moving = shard.desired !== "" && shard.desired !== shard.owner;
    cell.style.setProperty("--owner", owner.colour);
    cell.style.setProperty("--target", look(shard.desired).colour);
    cell.classList.toggle("dark", owner.dark);
    cell.classList.toggle("moving", moving);
    cell.classList.toggle("frozen", shard.frozen !== "");
    cell.classList.toggle("pinned", shard.pinnedTo !== null);
    text(cell, owner.letter);
    const words = describe(shard, moving);
    if (cell.title !== words) {
      cell.title = words;
      cell.setAttribute("aria-label", words);
    }
  }

  renderLegend(view) {
    const names = view.instances.map((each) => each.instance).sort();
    if (view.shards.some((shard) => !shard.owner)) names.push("");
    keyed(this.legend, names, (name) => name,
      (name) => element("li", {}, swatch(look(name).colour),
        `${look(name).letter} ${name || "nobody"} `, element("b")),
      (item, name) => text(item.lastChild,
        count(view.shards.filter((shard) => shard.owner === name).length)));
  }

  // -- keyboard and selection ------------------------------------------------------------------

  step(event) {
    const at = this.cells.indexOf(document.activeElement);
    if (at < 0) return;
    const last = this.cells.length - 1;
    const rowStart = at - (at % COLUMNS);
    const targets = { Home: rowStart, End: Math.min(last, rowStart + COLUMNS - 1) };
    const to = event.key in STEPS ? at + STEPS[event.key] : targets[event.key];
    if (to === undefined || to < 0 || to > last) return;
    event.preventDefault();
    this.cells[at].tabIndex = -1;
    this.cells[to].tabIndex = 0;
    this.cells[to].focus();
  }

  select(index) {
    for (const cell of this.cells) cell.setAttribute("aria-selected", "false");
    this.cells[index].setAttribute("aria-selected", "true");
    this.selected = index;
    this.renderPanel();
  }

  // -- the selected one ------------------------------------------------------------------------

  makePanel() {
    this.words = element("p", { textContent: "Select a shard to move, pin or freeze it." });
    const button = (label, work) => {
      const made = element("button", { type: "button", textContent: label, hidden: true });
      made.addEventListener("click", () => work(this.view.shards[this.selected]));
      return made;
    };
    this.buttons = {
      move: button("Move…", (shard) => this.send(shard, "move")),
      pin: button("Pin…", (shard) => this.send(shard, "pin")),
      unpin: button("Unpin…", (shard) => this.unpin(shard)),
      freeze: button("Freeze…", (shard) => this.freeze(shard)),
      unfreeze: button("Unfreeze…", (shard) => this.unfreeze(shard)),
    };
    this.panel.append(
      this.words, element("p", { className: "buttons" }, ...Object.values(this.buttons)));
  }

  renderPanel() {
    if (this.selected === null || this.selected >= this.view.shards.length) return;
    const shard = this.view.shards[this.selected];
    const moving = shard.desired !== "" && shard.desired !== shard.owner;
    text(this.words, `${describe(shard, moving)}.`);
    this.buttons.move.hidden = shard.frozen !== "";
    this.buttons.pin.hidden = shard.frozen !== "";
    this.buttons.unpin.hidden = shard.pinnedTo === null;
    this.buttons.freeze.hidden = shard.frozen !== "";
    this.buttons.unfreeze.hidden = shard.frozen === "";
  }

  async send(shard, verb) {
    const pin = verb === "pin";
    const names = this.view.instances.filter(
      (each) => each.state === "serving" && (pin || each.instance !== shard.owner));
    if (!names.length) {
      await ask({ title: "Nowhere to go", lines: ["No other instance serves."], action: "I see" });
      return;
    }
    const answer = await ask({
      title: `${pin ? "Pin" : "Move"} shard ${shard.shard}?`,
      lines: [
        `It is on ${shard.owner || "nobody"}, with ${count(shard.entities)} entities in memory and`
          + ` ${rate(shard.rate)} commands a second. Their callers wait for a moment while it moves.`,
        pin ? "It stays there, whatever a plan would do, until it is unpinned."
          : "It moves once; a later plan may move it again.",
      ],
      fields: [{ name: "to", label: "To", options: names.map((each) => each.instance) }],
      action: pin ? "Pin it" : "Move it",
    });
    if (answer) {
      await this.post(shard, verb, answer, `Shard ${shard.shard} goes to ${answer.to}.`);
    }
  }

  async unpin(shard) {
    const sure = await ask({
      title: `Unpin shard ${shard.shard}?`,
      lines: [`Balance decides again where it is. It stays on ${shard.owner} until a plan moves it.`],
      action: "Unpin it",
    });
    if (sure) await this.post(shard, "unpin", undefined, `Shard ${shard.shard} is pinned no more.`);
  }

  async freeze(shard) {
    const answer = await ask({
      title: `Freeze shard ${shard.shard}?`,
      lines: [
        `It stays on ${shard.owner}, whatever a plan or a drain would do, until it is unfrozen. It`
          + " goes on working. If its instance dies it is served elsewhere all the same.",
      ],
      fields: [{
        name: "reason", label: "Why, for whoever finds it frozen", required: true, maxLength: 200,
      }],
      action: "Freeze it",
    });
    if (answer) await this.post(shard, "freeze", answer, `Shard ${shard.shard} is frozen.`);
  }

  async unfreeze(shard) {
    const sure = await ask({
      title: `Unfreeze shard ${shard.shard}?`,
      lines: [`It was frozen because: ${shard.frozen}.`, "Plans and drains may move it again."],
      action: "Unfreeze it",
    });
    if (sure) await this.post(shard, "unfreeze", undefined, `Shard ${shard.shard} may move again.`);
  }

  async post(shard, verb, body, done) {
    await act(done, () => call("POST", `/admin/shards/${shard.shard}/${verb}`, body));
    await this.changed();
  }
}

function describe(shard, moving) {
  const words = [`Shard ${shard.shard}`, shard.owner ? `on ${shard.owner}` : "without an owner"];
  if (moving) words.push(`moving to ${shard.desired}`);
  words.push(`epoch ${shard.epoch}`, `${rate(shard.rate)} commands a second`);
  words.push(`${count(shard.entities)} entities`);
  if (shard.pinnedTo !== null) words.push(`pinned to ${shard.pinnedTo}`);
  if (shard.frozen) words.push(`frozen: ${shard.frozen}`);
  return words.join(", ");
}
