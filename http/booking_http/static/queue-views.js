// Before it is the fan's turn: the welcome, and the place in the queue.

import { actionButton, announce, countdown, h, svg } from "./dom.js";

const RING = 2 * Math.PI * 54;
const ANNOUNCE_MS = 15_000;
// A screen reader is told of a moving place this often; admission is said at once.

export function welcomeView(app) {
  const { t } = bound(app);
  const trouble = h("div", { class: "stack", role: "alert" });
  const join = actionButton({ class: "main", id: "join", text: t("join") }, async () => {
    trouble.replaceChildren();
    await app.join();
  });
  let stopCountdown = null;
  const steps = [1, 2, 3].map((number) => h("li", {}, h("p", { text: t(`welcome${number}`) })));
  return {
    element: h("section", { class: "welcome" },
      h("h1", { text: t("welcomeTitle") }),
      h("p", { class: "lead", text: t("welcomeLead") }),
      h("p", {}, join),
      trouble,
      h("ol", { class: "how" }, steps)),
    destroy: () => stopCountdown?.(),
    refused(error) {
      stopCountdown?.();
      if (error.code === "queue_full") {
        const words = h("p");
        const opensAt = performance.now() + (error.retryAfterMs ?? 5_000);
        stopCountdown = countdown(opensAt, (seconds) => {
          words.textContent = t("queueFull", seconds);
          if (seconds > 0) join.setAttribute("aria-disabled", "true");
          else join.removeAttribute("aria-disabled");
        });
        trouble.replaceChildren(words);
      } else if (error.code === "already_queued") {
        const anew = actionButton({ text: t("newPerson") }, () => app.startOver());
        trouble.replaceChildren(h("p", { text: t("alreadyQueued") }), h("p", {}, anew));
      } else {
        trouble.replaceChildren(h("p", { text: app.words.problem(error) }));
      }
    },
  };
}

// place may be null: not known yet, after a reload.
export function waitingView(app, place) {
  const { t, words } = bound(app);
  const parts = {
    place: h("strong", { id: "place", text: "…" }),
    label: h("span", { text: t("place") }),
    ahead: h("p", { id: "ahead", class: "lead" }),
    eta: h("p", { id: "eta" }),
    stock: h("p", { id: "stock" }),
    link: h("span", { id: "link" }),
    arc: svg("circle", {
      cx: 60, cy: 60, r: 54, class: "arc", "stroke-dasharray": RING, "stroke-dashoffset": RING,
    }),
  };
  const ring = svg("svg", { viewBox: "0 0 120 120", "aria-hidden": "true" },
    svg("circle", { cx: 60, cy: 60, r: 54, class: "track" }), parts.arc);
  let saidAt = -Infinity;
  let said = null;
  let opensAt = null; // of the scheduled opening that is counted down to
  let stopCountdown = null;

  function moved(now) {
    stocked(now);
    if (now.opensAt) {
      gathering(now);
      return;
    }
    opensAt = null;
    stopCountdown?.();
    parts.label.textContent = t("place");
    parts.place.textContent = words.number(now.position);
    parts.ahead.textContent = t("ahead", now.ahead);
    parts.eta.textContent = now.etaKnown ? t("eta", now.etaSeconds) : t("etaUnknown");
    const farthest = Math.max(app.store.data.farthest, now.position, 1);
    parts.arc.setAttribute("stroke-dashoffset", (RING * (now.position - 0.15)) / farthest);
    document.title = `${t("waitingTab", now.position)} · ${t("title")}`;
    const time = performance.now();
    if (said !== now.position && (time - saidAt > ANNOUNCE_MS || now.position === 1)) {
      announce(`${t("placeSaid", now.position)} ${parts.ahead.textContent}. ${parts.eta.textContent}`);
      said = now.position;
      saidAt = time;
    }
  }

  // Before a scheduled opening there are no places yet: they are drawn then.
  function gathering(now) {
    parts.ahead.textContent = t("gathered", now.ahead);
    if (opensAt === now.opensAt) return;
    opensAt = now.opensAt;
    const moment = app.client.localMs(opensAt);
    parts.label.textContent = t("opensIn");
    parts.eta.textContent = t("opens", words.moment(moment));
    parts.arc.setAttribute("stroke-dashoffset", RING);
    document.title = `${parts.eta.textContent} · ${t("title")}`;
    announce(parts.eta.textContent);
    stopCountdown?.();
    stopCountdown = countdown(performance.now() + moment - Date.now(), (seconds) => {
      parts.place.textContent = words.clock(seconds);
      if (seconds === 0) app.watch?.ask();
    });
  }

  function stocked({ seatsLeft, seatsHeld }) {
    parts.stock.hidden = seatsLeft === undefined;
    if (seatsLeft === undefined) return;
    const soldOut = seatsLeft === 0 && seatsHeld === 0;
    parts.stock.classList.toggle("none", soldOut);
    parts.stock.textContent = soldOut ? t("stockNone") : t("stock", seatsLeft, seatsHeld);
  }

  function linked(live) {
    parts.link.className = live ? "live" : "polled";
    parts.link.textContent = t(live ? "live" : "polled");
  }

  const view = {
    element: h("section", { class: "waiting" },
      h("h1", { text: t("waitingTitle") }),
      h("div", { class: "ring" }, ring,
        h("p", {}, parts.label, parts.place)),
      parts.ahead, parts.eta, parts.stock,
      h("p", { class: "hint" }, parts.link, h("br"), t("waitingHint")),
      leaveButtons(app, "leave", "leaveSure")),
    title: t("waitingTitle"),
    destroy: () => stopCountdown?.(),
    moved,
    linked,
  };
  linked(app.live);
  if (place) moved(place);
  return view;
}

// Leaving loses the place for good, so it is asked twice.
export function leaveButtons(app, what, question) {
  const { t } = bound(app);
  const box = h("div", { class: "leave" });
  const ask = h("button", { id: "leave", class: "quiet", type: "button", text: t(what) });
  const sure = actionButton({ class: "danger", text: t(what) }, () => app.leave());
  const stay = h("button", { type: "button", text: t("stay") });
  ask.addEventListener("click", () => {
    box.replaceChildren(h("p", { text: t(question) }), stay, " ", sure);
    stay.focus();
  });
  stay.addEventListener("click", () => {
    box.replaceChildren(ask);
    ask.focus();
  });
  box.append(ask);
  return box;
}

function bound(app) {
  return { t: app.t.bind(app), words: app.words };
}
