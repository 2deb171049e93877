// Plans: shown before anything is done, applied exactly as shown, followed, aborted. And hand-overs
// as they happen.

import { call } from "./api.js";
import { act, ask, say } from "./dialogs.js";
import { count, element, find, keyed, rate, text, time } from "./dom.js";

const HANDOVERS_MAX = 60;

export class Rebalance {
  constructor(changed) {
    this.changed = changed;
    this.balance = find("#balance");
    this.abortButton = find("#abort");
    this.list = find("#handovers");
    this.seen = new Map();
    this.owners = null;
    this.words = element("p");
    this.bar = element("progress", { max: 1, value: 0, hidden: true });
    this.bar.setAttribute("aria-label", "Moves made of the plan");
    this.broken = element("ul");
    this.balance.append(this.words, this.bar, this.broken);
    find("#plan").addEventListener("click", () => this.plan());
    this.abortButton.addEventListener("click", () => this.abort());
  }

  render(view) {
    this.renderProgress(view.rebalance);
    this.notice(view);
    const newest = [...this.seen.values()].sort((a, b) => b.atMs - a.atMs);
    for (const old of newest.splice(HANDOVERS_MAX)) this.seen.delete(key(old));
    keyed(this.list, newest, key, () => element("li"), (item, each) => text(item,
      `${time(each.atMs)}  shard ${each.shard}: ${each.from || "nobody"} → ${each.to}`
        + (each.pauseMs === null ? "" : `, ${rate(each.pauseMs)} ms`)));
  }

  renderProgress(rebalance) {
    const running = rebalance?.state === "running";
    this.abortButton.hidden = !running;
    this.bar.hidden = !running;
    if (!rebalance) {
      text(this.words, "No plan was begun yet.");
      return;
    }
    // Of a plan that is over, the counts say what is left of it: its shards may have moved on.
    const made = running ? `${count(rebalance.moves)} moves made`
      : `its ${count(rebalance.moves)} shards are where it wanted them`;
    text(this.words, `Plan ${rebalance.planId}, begun ${time(rebalance.begunAtMs)} by`
      + ` ${rebalance.begunBy}: ${rebalance.state}, ${count(rebalance.done)} of ${made}.`);
    this.bar.max = Math.max(1, rebalance.moves);
    this.bar.value = rebalance.done;
    keyed(this.broken, running ? rebalance.broken : [], (why) => why, () => element("li", { className: "bad" }),
      (item, why) => text(item, `Cannot be made any more: ${why}`));
  }

  // Each instance tells only of those that it took part in; the change of an owner tells of the
  // others, without how long it took.
  notice(view) {
    for (const each of view.handovers) {
      this.seen.delete(`${each.shard}/${each.to}/${this.epochOf(view, each)}/seen`);
      this.seen.set(key(each), each);
    }
    const now = new Map(view.shards.map((shard) => [shard.shard, shard]));
    for (const [number, before] of this.owners ?? []) {
      const after = now.get(number);
      if (!after || after.owner === before.owner || !before.owner || !after.owner) continue;
      const told = [...this.seen.values()].some((each) => each.shard === number
        && each.to === after.owner && Math.abs(each.atMs - Date.now()) < 10000);
      if (!told) {
        const noticed = {
          shard: number, from: before.owner, to: after.owner, atMs: Date.now(), pauseMs: null,
          name: `${number}/${after.owner}/${after.epoch}/seen`,
        };
        this.seen.set(key(noticed), noticed);
      }
    }
    this.owners = now;
  }

  epochOf(view, handover) {
    return view.shards.find((shard) => shard.shard === handover.shard)?.epoch;
  }

  async plan() {
    const plan = await act("Here is the plan. Nothing was done.", () =>
      call("POST", "/admin/rebalance", { dryRun: true }));
    if (plan === undefined) return;
    if (!plan.moves.length) {
      await ask({
        title: "Nothing to move", lines: ["The shards are even.", ...waiting(plan)],
        action: "I see",
      });
      return;
    }
    const sure = await ask({
      title: `${count(plan.moves.length)} moves would make the shards even`,
      lines: [
        "Nothing was done yet. Each move makes the callers of one shard wait for about as long as"
          + " it says; a few are made at a time. It can be aborted on the way.",
        loads(plan), movesTable(plan), ...waiting(plan),
      ],
      action: `Make these ${count(plan.moves.length)} moves`,
    });
    if (!sure) {
      say("The plan was not begun.");
      return;
    }
    await act(`Plan ${plan.planId} was begun.`, () =>
      call("POST", "/admin/rebalance", { planId: plan.planId }));
    await this.changed();
  }

  async abort() {
    const sure = await ask({
      title: "Abort the plan?",
      lines: [
        "No further move is begun. What has moved stays where it is now.",
        "To go on later, make a new plan: it begins where this one got to.",
      ],
      action: "Abort it",
      danger: true,
    });
    if (!sure) return;
    await act("The plan was aborted.", () => call("DELETE", "/admin/rebalance"));
    await this.changed();
  }
}

const key = (each) => each.name ?? `${each.shard}/${each.to}/${each.atMs}`;

function table(head, rows, numbers = []) {
  const cell = (name, value, index) => element(name, {
    textContent: value, className: numbers.includes(index) ? "number" : "",
  });
  return element("div", { className: "wide tall" }, element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((value, i) => cell("th", value, i)))),
    element("tbody", {}, ...rows.map((row) =>
      element("tr", {}, ...row.map((value, i) => cell("td", value, i)))))));
}

function movesTable(plan) {
  return table(["shard", "from", "to", "why", "pause"], plan.moves.map((move) => [
    String(move.shard), move.from || "nobody", move.to, move.reason,
    `${rate(move.expectedPauseMs)} ms`,
  ]), [0, 4]);
}

function loads(plan) {
  const after = new Map(plan.loadAfter.instances.map((row) => [row.instance, row]));
  return table(["instance", "shards now", "then", "rate/s now", "then"],
    plan.loadBefore.instances.map((row) => {
      const then = after.get(row.instance) ?? { shards: 0, rate: 0 };
      return [row.instance, count(row.shards), count(then.shards), rate(row.rate), rate(then.rate)];
    }), [1, 2, 3, 4]);
}

function waiting(plan) {
  return plan.held.slice(0, 10).map((each) => `Shard ${each.shard} is not moved: ${each.why}.`);
}
