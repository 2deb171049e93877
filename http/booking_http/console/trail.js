// Who did what, and whether the journal is sound.

import { call } from "./api.js";
import { act, ask } from "./dialogs.js";
import { count, element, find, keyed, text } from "./dom.js";

const PAGE = 25;
const LINES_MAX = 500;
const VERDICTS = {
  clean: ["good", "Clean"], violated: ["bad", "VIOLATED"],
  failed: ["bad", "Could not be run"], none: ["", "There was no audit yet"],
};

export class Trail {
  constructor() {
    this.rows = find("#trail tbody");
    this.lines = new Map();
    this.olderButton = find("#older");
    this.olderButton.addEventListener("click", () => this.older());
  }

  async refresh() {
    this.take(await call("GET", `/admin/log?limit=${PAGE}`), this.lines.size === 0);
  }

  async older() {
    const oldest = Math.min(...this.lines.keys());
    const page = await act("Older lines were added.", () =>
      call("GET", `/admin/log?limit=${PAGE}&starting_after=${oldest}`));
    if (page) this.take(page, true);
  }

  take(page, isEnd) {
    for (const line of page.items) this.lines.set(Number(line.id), line);
    if (isEnd) this.more = page.has_more;
    this.olderButton.hidden = !this.more || this.lines.size >= LINES_MAX;
    const newest = [...this.lines.values()].sort((a, b) => Number(b.id) - Number(a.id));
    keyed(this.rows, newest, (line) => line.id,
      (line) => element("tr", {},
        element("td", { textContent: new Date(line.at).toLocaleString() }),
        element("td", { textContent: line.who }), element("td", { textContent: line.what }),
        element("td", { textContent: about(line.detail) })),
      () => {});
  }
}

export class Audit {
  constructor() {
    this.verdict = find("#verdict");
    this.violations = find("#violations");
    this.running = false;
    find("#run-audit").addEventListener("click", () => this.run());
  }

  async refresh() {
    this.render(await call("GET", "/admin/audit"));
  }

  render(data) {
    const [className, word] = VERDICTS[data.verdict];
    let words = word;
    if (data.endedAt) {
      words += `, ${new Date(data.endedAt).toLocaleString()}, asked for by ${data.askedBy}`;
    }
    if (data.report) {
      words += `: ${count(data.report.events)} events in ${data.report.took_s.toFixed(1)} s`;
    }
    if (data.problem) words += `: ${data.problem}`;
    words += data.runningSince ? ". One is running now." : ".";
    this.verdict.className = className;
    text(this.verdict, words);
    const named = (data.report?.verdicts ?? []).flatMap((each) =>
      each.named.map((one) => `${each.check}: ${one.entity ?? ""} ${one.message}`));
    keyed(this.violations, named, (line) => line, () => element("li", { className: "bad" }),
      (item, line) => text(item, line));
    this.running = data.runningSince !== null;
    find("#run-audit").disabled = this.running;
  }

  async run() {
    const sure = await ask({
      title: "Audit the journal now?",
      lines: [
        "The whole journal is read once, in a process of its own and with the lowest priority. The"
          + " service goes on meanwhile. It takes about ten seconds for a million events.",
      ],
      action: "Audit it",
    });
    if (!sure) return;
    await act("The audit runs.", () => call("POST", "/admin/audit"));
    await act("The audit runs.", () => this.refresh());
  }
}

function about(detail) {
  return Object.entries(detail)
    .map(([name, value]) => [name, Array.isArray(value) ? value.length : value])
    .filter(([, value]) => value === null || (typeof value !== "object" && value !== ""))
    .map(([name, value]) => `${name}: ${value}`).join(", ");
}
