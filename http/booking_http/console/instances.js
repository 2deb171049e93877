// The table of instances, and what can be done to one.

import { call, part } from "./api.js";
import { Lines, swatch } from "./charts.js";
import { act, ask } from "./dialogs.js";
import { count, element, find, keyed, rate, span, text } from "./dom.js";
import { colours, look } from "./owners.js";

const LAG_HIGH_MS = 50;
const HEARD_LATE_MS = 3000;

export class Instances {
  constructor(changed) {
    this.changed = changed;
    this.rows = find("#instances tbody");
    this.rates = new Lines(find("#rates"), "Commands a second by instance");
  }

  render(view) {
    this.view = view;
    const byName = [...view.instances].sort((a, b) => (a.instance < b.instance ? -1 : 1));
    keyed(this.rows, byName, (each) => each.instance,
      (each) => this.row(each.instance), (row, each) => this.fill(row, each));
    const now = Object.fromEntries(byName.map((each) => [each.instance, each.rate]));
    this.rates.add(now, colours(Object.keys(now)));
  }

  row(name) {
    const button = (label, className, work) => {
      const made = element("button", { type: "button", textContent: label, className });
      made.setAttribute("aria-label", `${label} ${name}`);
      made.addEventListener("click", work);
      return made;
    };
    const row = element("tr", {},
      element("th", { scope: "row" }, swatch(look(name).colour), `${look(name).letter} ${name}`));
    for (let index = 0; index < 8; index += 1) {
      row.append(element("td", { className: index ? "number" : "" }));
    }
    row.children[1].append(element("span", { className: "state" }));
    row.append(element("td", { className: "buttons" },
      button("Drain…", "drain", () => this.drain(name)),
      button("Undrain…", "undrain", () => this.undrain(name)),
      button("Evict…", "danger evict", () => this.evict(name))));
    return row;
  }

  fill(row, each) {
    const state = row.querySelector(".state");
    const empty = each.state === "draining" && each.shards === 0;
    text(state, empty ? "drained" : each.state);
    state.dataset.state = each.state;
    const values = [
      count(each.shards), rate(each.rate), count(each.entities), `${rate(each.loopLagMs)} ms`,
      span(each.commitAgeMs), span(each.heardMsAgo), span(Date.now() - each.sinceMs),
    ];
    values.forEach((value, index) => text(row.children[index + 2], value));
    row.children[5].classList.toggle("bad", each.loopLagMs > LAG_HIGH_MS);
    row.children[7].classList.toggle("bad", each.heardMsAgo > HEARD_LATE_MS);
    row.title = `${each.url}\n${each.incarnation}`;
    const aside = each.state === "draining" || each.state === "evicted";
    row.querySelector(".drain").hidden = aside || each.state === "dead";
    row.querySelector(".undrain").hidden = !aside;
    row.querySelector(".evict").hidden = each.state === "evicted";
  }

  of(name) {
    return this.view.instances.find((each) => each.instance === name);
  }

  others(name) {
    return this.view.instances.filter(
      (each) => each.instance !== name && each.state === "serving").length;
  }

  where(name) {
    const others = this.others(name);
    if (!others) return "There is no other instance that serves: nothing can move.";
    return `They move to ${others === 1 ? "the other instance" : `${others} other instances`}.`;
  }

  frozen(name) {
    const stuck = this.view.shards.filter((each) => each.owner === name && each.frozen);
    if (!stuck.length) return [];
    return [`${stuck.length} of them are frozen and stay: ${stuck.map((s) => s.shard).join(", ")}.`];
  }

  async drain(name) {
    const sure = await ask({
      title: `Drain ${name}?`,
      lines: [
        `${name} has ${count(this.of(name).shards)} shards. ${this.where(name)}`,
        "Callers of each shard wait for a moment while it moves; no request fails.",
        `${name} is given nothing until you undrain it. It goes on answering what it is asked.`,
        ...this.frozen(name),
      ],
      action: `Drain ${name}`,
    });
    if (sure) await this.post(name, "drain", `${name} is being drained.`);
  }

  async undrain(name) {
    const sure = await ask({
      title: `Undrain ${name}?`,
      lines: [`${name} may be given shards again. None move now; a plan would move some.`],
      action: `Undrain ${name}`,
    });
    if (sure) await this.post(name, "undrain", `${name} may have shards again.`);
  }

  async evict(name) {
    const sure = await ask({
      title: `Evict ${name}?`,
      lines: [
        `${name} has ${count(this.of(name).shards)} shards. The others claim them at once, without`
          + " asking it. " + (this.others(name) ? "" : this.where(name)),
        "What it has accepted and not committed is refused: those callers get a 503 and may repeat"
          + " their request. Nothing acknowledged is lost.",
        "This is for an instance that is too sick to be drained.",
      ],
      action: `Evict ${name}`,
      danger: true,
    });
    if (sure) await this.post(name, "evict", `The shards of ${name} are being taken over.`);
  }

  async post(name, verb, done) {
    await act(done, () => call("POST", `/admin/instances/${part(name)}/${verb}`));
    await this.changed();
  }
}
