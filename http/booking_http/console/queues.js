// The waiting queues: depth and rates as they change, and their rules.

import { call, part } from "./api.js";
import { Lines } from "./charts.js";
import { act, ask } from "./dialogs.js";
import { count, element, find, keyed, text } from "./dom.js";

const WAITING = { waiting: "#0072b2", inside: "#009e73" };
const FLOW = { "let in": "#009e73", left: "#d55e00" };
const RULES = {
  maxActive: ["Inside at once", "0: no limit"],
  admitPerInterval: ["Let in per interval", "0: no limit"],
  intervalS: ["Interval, seconds", ""],
  activeS: ["May stay inside, seconds", "for those who come in from now on"],
  maxWaiting: ["Waiting at most", ""],
};

export class Queues {
  constructor(changed) {
    this.changed = changed;
    this.list = find("#queue-list");
    this.charts = new Map();
    this.reports = new Map();
  }

  render(items) {
    for (const report of items) this.reports.set(report.queue, report);
    keyed(this.list, items, (report) => report.queue, (report) => this.card(report.queue),
      (card, report) => this.fill(card, report));
  }

  card(name) {
    const button = (label, className, work) => {
      const made = element("button", { type: "button", textContent: label, className });
      made.setAttribute("aria-label", `${label} queue ${name}`);
      made.addEventListener("click", work);
      return made;
    };
    const waiting = element("figure", {},
      element("figcaption", { textContent: "Waiting and inside" }));
    const flow = element("figure", {},
      element("figcaption", { textContent: "In the last minute" }));
    this.charts.set(name, [
      new Lines(waiting, `Queue ${name}, people`), new Lines(flow, `Queue ${name}, a minute`),
    ]);
    return element("article", {},
      element("h3", {}, name, " ", element("span", { className: "state" })),
      element("p", { className: "rules" }), element("div", { className: "pair" }, waiting, flow),
      element("p", { className: "buttons" },
        button("Pause…", "pause", () => this.mode(name, "paused")),
        button("Resume…", "resume", () => this.mode(name, "open")),
        button("Queue all…", "all", () => this.mode(name, "queue_all")),
        button("Limits…", "limits", () => this.limits(name))));
  }

  fill(card, report) {
    const state = card.querySelector(".state");
    text(state, report.mode);
    state.dataset.state = report.mode;
    text(card.querySelector(".rules"), rules(report));
    const [waiting, flow] = this.charts.get(report.queue);
    waiting.add({ waiting: report.waiting, inside: report.active }, WAITING);
    flow.add({ "let in": report.admittedLastMinute, left: report.leftLastMinute }, FLOW);
    card.querySelector(".pause").hidden = report.mode === "paused";
    card.querySelector(".resume").hidden = report.mode === "open";
    card.querySelector(".all").hidden = report.mode === "queue_all";
  }

  async mode(name, mode) {
    const report = this.reports.get(name);
    const waiting = `${count(report.waiting)} people wait and keep their place.`;
    const stay = `${count(report.active)} are inside and stay until they have paid, leave or their`
      + " time is over.";
    const what = {
      paused: ["Pause", "Nobody comes in any more, however much room there is.", waiting, stay],
      open: ["Resume", "Whoever waits comes in as there is room and at the rate of its rules.",
        waiting],
      queue_all: ["Line up everybody in", "Everybody lines up and comes in at the rate, also while"
        + " there is room.", waiting, stay],
    }[mode];
    const [verb, ...lines] = what;
    const sure = await ask({ title: `${verb} queue ${name}?`, lines, action: `${verb} it` });
    if (sure) await this.patch(name, { mode });
  }

  async limits(name) {
    const report = this.reports.get(name);
    const answer = await ask({
      title: `Limits of queue ${name}`,
      lines: ["What you change is in force within a second. Nobody loses their place."],
      fields: Object.entries(RULES).map(([field, [label, hint]]) => ({
        name: field, label: hint ? `${label} (${hint})` : label, value: report[field],
        type: "number", min: 0, step: 1, required: true,
      })),
      action: "Look at the change",
      check: (values) => (Object.keys(changes(report, values)).length ? "" : "Nothing is changed."),
    });
    if (!answer) return;
    const change = changes(report, answer);
    const sure = await ask({
      title: `Change queue ${name}?`,
      lines: Object.entries(change).map(([field, value]) =>
        `${RULES[field][0]}: ${count(report[field])} → ${count(value)}`),
      action: "Change it",
    });
    if (sure) await this.patch(name, change);
  }

  async patch(name, change) {
    await act(`Queue ${name} was changed.`, () =>
      call("PATCH", `/admin/queues/${part(name)}`, change));
    await this.changed();
  }
}

function changes(report, values) {
  return Object.fromEntries(Object.keys(RULES)
    .map((field) => [field, Number(values[field])])
    .filter(([field, value]) => value !== report[field]));
}

function rules(report) {
  const limit = report.maxActive ? `at most ${count(report.maxActive)} inside` : "no limit inside";
  const rate = report.admitPerInterval
    ? `${count(report.admitPerInterval)} let in each ${report.intervalS} s` : "no rate limit";
  const opens = report.opensAt ? `; opens at ${report.opensAt}` : "";
  return `${limit}; ${rate}; may stay ${report.activeS} s; at most ${count(report.maxWaiting)}`
    + ` waiting; let in up to number ${count(report.watermark)} of ${count(report.lastNumber)}`
    + opens;
}
