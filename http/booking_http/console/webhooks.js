// Webhooks: who is told of events, what could not be delivered, and trying it again.

import { call, part } from "./api.js";
import { act, ask, say } from "./dialogs.js";
import { count, element, find, keyed, text } from "./dom.js";

const SECRET = "Its secret, which is not told again:";

export class Webhooks {
  constructor(changed) {
    this.changed = changed;
    this.section = find("#webhooks");
    this.rows = find("#webhooks tbody");
    this.views = new Map();
    find("#add-webhook").addEventListener("click", () => this.add());
  }

  async refresh() {
    const { on, items } = await call("GET", "/admin/webhooks");
    this.section.hidden = !on;
    for (const view of items) this.views.set(view.id, view);
    keyed(this.rows, items, (view) => view.id, (view) => this.row(view.id),
      (row, view) => this.fill(row, view));
  }

  row(id) {
    const button = (label, className, work) => {
      const made = element("button", { type: "button", textContent: label, className });
      made.setAttribute("aria-label", `${label} webhook ${id}`);
      made.addEventListener("click", work);
      return made;
    };
    return element("tr", {}, element("td", { textContent: id }),
      element("td", { className: "state" }), element("td", { className: "number" }),
      element("td", { className: "number" }), element("td", { className: "about" }),
      element("td", {},
        button("Test", "test", () => this.test(id)), " ",
        button("Disable…", "disable", () => this.enable(id, false)), " ",
        button("Enable…", "enable", () => this.enable(id, true)), " ",
        button("Send again…", "resend", () => this.resend(id)), " ",
        button("New secret…", "rotate", () => this.rotate(id)), " ",
        button("Delete…", "danger", () => this.remove(id))));
  }

  fill(row, view) {
    const [, state, pending, dead, about] = row.children;
    text(state, view.enabled ? "enabled" : "disabled");
    state.dataset.state = view.enabled ? "open" : "paused";
    text(pending, count(view.pending));
    text(dead, count(view.dead));
    const types = view.types.join(" ") || "all events";
    text(about, [view.about, view.url, types, view.trouble].filter(Boolean).join("; "));
    row.querySelector(".disable").hidden = !view.enabled;
    row.querySelector(".enable").hidden = view.enabled;
    row.querySelector(".resend").hidden = view.dead === 0;
  }

  async add() {
    const answer = await ask({
      title: "Have events posted to an address?",
      fields: [
        { name: "url", label: "Address", required: true, maxLength: 2000 },
        { name: "types", label: "Types of events, separated by spaces; none: all" },
        { name: "about", label: "What it is", maxLength: 200 },
      ],
      action: "Add it",
    });
    if (!answer) return;
    const body = { ...answer, types: answer.types.split(/\s+/).filter(Boolean) };
    await this.secret(() => call("POST", "/admin/webhooks", body));
  }

  async rotate(id) {
    const lines = ["For a day, the present secret signs too."];
    if (!await ask({ title: `Sign with a new secret for ${id}?`, lines, action: "Make one" })) return;
    await this.secret(() => this.post(id, "/rotate", {}));
  }

  async secret(work) {
    const made = await act("Done.", work);
    this.changed();
    if (made) await ask({ title: made.id, lines: [SECRET, made.secret], action: "I have it" });
  }

  async test(id) {
    const answer = await act("Asked.", () => this.post(id, "/test"));
    if (!answer) return;
    const words = answer.trouble || `answered ${answer.status}`;
    say(`${id}: ${words} in ${answer.tookMs} ms.`, !answer.trouble);
  }

  async enable(id, enabled) {
    const action = enabled ? "Enable" : "Disable";
    const lines = [enabled ? "What is pending goes on." : "It misses what happens meanwhile."];
    if (!await ask({ title: `${action} webhook ${id}?`, lines, action })) return;
    await this.done(`Webhook ${id}: ${action.toLowerCase()}d.`,
      () => call("PATCH", `/admin/webhooks/${part(id)}`, { enabled }));
  }

  async resend(id) {
    const lines = [`${count(this.views.get(id).dead)} events that were given up.`];
    if (!await ask({ title: `Send again to ${id}?`, lines, action: "Send again" })) return;
    await this.done(({ count: sent }) => `${count(sent)} events are due again.`,
      () => this.post(id, "/resend", {}));
  }

  async remove(id) {
    const lines = [this.views.get(id).url, "What is pending goes too."];
    const title = `Delete webhook ${id}?`;
    if (!await ask({ title, lines, action: "Delete it", danger: true })) return;
    await this.done(`Webhook ${id} is deleted.`,
      () => call("DELETE", `/admin/webhooks/${part(id)}`));
  }

  async done(words, work) {
    await act(words, work);
    this.changed();
  }

  post(id, rest, body) {
    return call("POST", `/admin/webhooks/${part(id)}${rest}`, body);
  }
}
