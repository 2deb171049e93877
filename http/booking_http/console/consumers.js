// Consumers of events: how far behind, what stopped them, and going on.

import { call, part } from "./api.js";
import { act, ask } from "./dialogs.js";
import { count, element, find, keyed, text } from "./dom.js";

export class Consumers {
  constructor(changed) {
    this.changed = changed;
    this.section = find("#consumers");
    this.rows = find("#consumers tbody");
    this.views = new Map();
  }

  async refresh() {
    const { items } = await call("GET", "/admin/consumers");
    this.section.hidden = items.length === 0;
    for (const view of items) this.views.set(view.name, view);
    keyed(this.rows, items, (view) => view.name, (view) => this.row(view.name),
      (row, view) => this.fill(row, view));
  }

  row(name) {
    const button = (label, className, work) => {
      const made = element("button", { type: "button", textContent: label, className });
      made.setAttribute("aria-label", `${label} consumer ${name}`);
      made.addEventListener("click", work);
      return made;
    };
    return element("tr", {}, element("td", { textContent: name }),
      element("td", { className: "state" }), element("td", { className: "number" }),
      element("td", { className: "about" }),
      element("td", {},
        button("Pause…", "pause", () => this.steer(name, "pause")), " ",
        button("Resume…", "resume", () => this.steer(name, "resume")), " ",
        button("Skip…", "skip danger", () => this.skip(name))));
  }

  fill(row, view) {
    const [, state, behind, about] = row.children;
    text(state, view.state);
    state.dataset.state = view.state;
    text(behind, count(view.behind));
    text(about, [
      ...view.stopped.map((at) => `shard ${at.shard} after seq ${at.seq}: ${at.trouble}`),
      ...view.skipped.map((at) => `left out shard ${at.shard} seq ${at.seq}: ${at.reason}`),
    ].join("; "));
    row.querySelector(".pause").hidden = view.state === "paused";
    row.querySelector(".resume").hidden = view.state === "running";
    row.querySelector(".skip").hidden = !view.stopped.some((at) => at.poisonSeq);
  }

  async steer(name, verb) {
    const [title, line] = {
      pause: ["Pause", "It takes nothing more; what is committed meanwhile waits for it."],
      resume: ["Resume", "It goes on where it was. What it stopped at by itself is tried again."],
    }[verb];
    if (!await ask({ title: `${title} consumer ${name}?`, lines: [line], action: title })) return;
    await this.post(name, verb, undefined, `Consumer ${name}: ${verb}.`);
  }

  async skip(name) {
    const at = this.views.get(name).stopped.find((each) => each.poisonSeq);
    const answer = await ask({
      title: `Leave out event ${at.poisonSeq} of shard ${at.shard} for ${name}?`,
      lines: [at.trouble, "The consumer never sees this event, and goes on with the next."],
      fields: [{ name: "reason", label: "Reason", required: true, maxLength: 200 }],
      action: "Leave it out",
      danger: true,
    });
    if (!answer) return;
    const body = { shard: at.shard, reason: answer.reason };
    await this.post(name, "skip", body, `Consumer ${name} goes on in shard ${at.shard}.`);
  }

  async post(name, verb, body, words) {
    await act(words, () => call("POST", `/admin/consumers/${part(name)}/${verb}`, body));
    this.changed();
  }
}
