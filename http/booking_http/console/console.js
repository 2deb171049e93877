// The operators' console: asks for the token, then looks at the service once a second.

import { call, lock, Refused, unlock } from "./api.js";
import { Consumers } from "./consumers.js";
import { say } from "./dialogs.js";
import { find, span, text } from "./dom.js";
import { Instances } from "./instances.js";
import { meet } from "./owners.js";
import { Queues } from "./queues.js";
import { Rebalance } from "./rebalance.js";
import { Shards } from "./shards.js";
import { Audit, Trail } from "./trail.js";
import { Webhooks } from "./webhooks.js";

const LOOK_MS = 1000;
const SELDOM = 5; // looks between two at the trail and the audit
const STALE_MS = 5000;
const CLOSED = new Set([401, 403, 429]); // the token does not open

const gate = find("#gate");
const desk = find("#desk");
let panels = null;
let timer = 0;
let looks = 0;
let lastGood = 0;
let working = false;
let again = false; // somebody wants to see a change, while a look is under way

function open(view) {
  gate.hidden = true;
  gate.elements.token.value = "";
  desk.hidden = false;
  const changed = () => look(true);
  panels ??= {
    instances: new Instances(changed), rebalance: new Rebalance(changed),
    shards: new Shards(changed), queues: new Queues(changed),
    consumers: new Consumers(changed), webhooks: new Webhooks(changed),
    audit: new Audit(), trail: new Trail(),
  };
  show(view);
  find("#headline").focus();
  look(true);
}

function close(words) {
  clearTimeout(timer);
  lock();
  desk.hidden = true;
  gate.hidden = false;
  text(find("#gate-problem"), words);
  gate.elements.token.focus();
}

function show(view) {
  meet([...view.instances.map((each) => each.instance), ...view.shards.map((s) => s.owner)]);
  const moving = view.shards.filter((s) => s.desired !== "" && s.desired !== s.owner).length;
  const unowned = view.shards.filter((s) => s.owner === "").length;
  const words = [
    view.leader ? `leader ${view.leader}, term ${view.term}` : "no leader",
    `${view.instances.length} instances`, `${view.shards.length} shards`,
  ];
  if (moving) words.push(`${moving} moving`);
  if (unowned) words.push(`${unowned} without an owner`);
  words.push(`told by ${view.answeredBy}, ${span(view.ageMs)} old`);
  text(find("#headline"), words.join(" · "));
  find("#headline").classList.toggle("bad", !view.leader || unowned > 0);
  panels.instances.render(view);
  panels.rebalance.render(view);
  panels.shards.render(view);
}

// One look at everything. One part that does not answer does not keep the others from being shown.
async function look(everything = false) {
  if (working) {
    again ||= everything;
    return;
  }
  working = true;
  clearTimeout(timer);
  try {
    const seldom = everything || looks % SELDOM === 0;
    looks += 1;
    const parts = [
      call("GET", "/admin/cluster").then((view) => show(view)),
      call("GET", "/admin/queues").then((data) => panels.queues.render(data.items)),
      ...(seldom ? [panels.trail, panels.consumers, panels.webhooks].map((each) => each.refresh())
        : []),
      ...(seldom || panels.audit.running ? [panels.audit.refresh()] : []),
    ];
    const outcomes = await Promise.allSettled(parts);
    conclude(outcomes.filter((each) => each.status === "rejected").map((each) => each.reason));
  } finally {
    working = false;
  }
  if (desk.hidden || document.hidden) return;
  timer = setTimeout(look, again ? 0 : LOOK_MS, again);
  again = false;
}

function conclude(problems) {
  const unforeseen = problems.find((error) => !(error instanceof Refused));
  if (unforeseen) throw unforeseen;
  const closed = problems.find((error) => CLOSED.has(error.status));
  if (closed) {
    close(closed.message);
    return;
  }
  if (!problems.length) lastGood = Date.now();
  const age = Date.now() - lastGood;
  const old = age > STALE_MS ? ` What is shown is ${span(age)} old.` : "";
  text(find("#trouble"), problems.length ? `${problems[0].message}${old}` : "");
}

gate.addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = gate.elements.token.value.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    close("A token has only letters, digits and signs, without spaces.");
    return;
  }
  unlock(token, gate.elements.user.value.trim());
  try {
    const view = await call("GET", "/admin/cluster");
    text(find("#gate-problem"), "");
    open(view);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    close(error.message);
  }
});

find("#leave").addEventListener("click", () => {
  say("");
  close("The token is forgotten.");
});

// Nobody looks: no need to ask. Somebody looks again: at once.
document.addEventListener("visibilitychange", () => {
  if (desk.hidden) return;
  clearTimeout(timer);
  if (!document.hidden) look(true);
});

gate.elements.token.focus();
