// Concerts and their dates, with the seats left of each counted live.

import { h, svg } from "./dom.js";
import { leaveButtons } from "./queue-views.js";

const SEARCH_FROM = 8; // concerts: with fewer everything is seen at a glance

export function datesView(app, inside) {
  const t = app.t.bind(app);
  const list = h("div", { class: "concerts" });
  const search = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search") });
  const empty = h("p", { class: "hint", hidden: true, text: t("noDates") });
  let cards = new Map(); // date id to the parts that change
  let shape = "";

  function free(date) {
    return Math.max(0, date.totalSeats - date.reservedSeats);
  }

  function dateButton(date) {
    const left = h("span", { class: "left" });
    const bar = h("progress", { "aria-hidden": "true", max: date.totalSeats, value: 0 });
    const when = app.words.moment(date.open_at, date.timeZone);
    const button = h("button", {
      class: "date", type: "button", "data-date": date.id, onclick: () => inside.open(date.id),
    }, h("span", { class: "when", text: when }), left, bar);
    cards.set(date.id, { button, left, bar, when });
    return button;
  }

  function card(dates) {
    const [{ concertId, concertName, venue, city }] = dates;
    const heading = h("h2", { text: concertName });
    return h("article", { class: "concert" }, artwork(concertId), heading,
      venue ? h("p", { class: "hint", text: `${venue} · ${city}` }) : null,
      h("div", { class: "dates" }, dates.map(dateButton)));
  }

  function build(dates) {
    cards = new Map();
    const concerts = Map.groupBy ? Map.groupBy(dates, (one) => one.concertId) : grouped(dates);
    list.replaceChildren(...[...concerts.values()].map(card));
    search.hidden = concerts.size < SEARCH_FROM;
    empty.hidden = dates.length > 0;
    find();
  }

  function datesChanged() {
    if (inside.dates === null) return;
    const dates = [...inside.dates.values()];
    const now = dates.map((one) => one.id).join();
    if (now !== shape || dates.length === 0) {
      shape = now;
      build(dates);
    }
    for (const date of dates) {
      const parts = cards.get(date.id);
      parts.left.textContent = t("seatsLeft", free(date));
      parts.bar.value = free(date);
      parts.button.classList.toggle("full", free(date) === 0);
      parts.button.setAttribute("aria-label", t("dateSaid", parts.when, free(date)));
    }
  }

  function find() {
    const wanted = search.value.trim().toLowerCase();
    for (const one of list.children) {
      one.hidden = !one.querySelector("h2").textContent.toLowerCase().includes(wanted);
    }
  }

  search.addEventListener("input", find);
  const element = h("div", {},
    h("div", { class: "headline" },
      h("div", {}, h("h1", { text: t("datesTitle") }), h("p", { class: "hint", text: t("datesLead") })),
      search),
    empty, list,
    leaveButtons(app, "leaveTurn", "leaveTurnSure"));
  datesChanged();
  return { element, title: t("datesTitle"), datesChanged };
}

function grouped(dates) {
  const groups = new Map();
  for (const date of dates) {
    if (!groups.has(date.concertId)) groups.set(date.concertId, []);
    groups.get(date.concertId).push(date);
  }
  return groups;
}

// A picture for a concert, made of its id: the same at every visit.
function artwork(id) {
  let seed = 2166136261;
  for (const character of id) seed = Math.imul(seed ^ character.codePointAt(0), 16777619) >>> 0;
  const next = (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const hue = next(360);
  const shapes = Array.from({ length: 5 }, (_, layer) => svg("circle", {
    cx: next(320), cy: 30 + next(90), r: 24 + next(60), "fill-opacity": 0.35,
    fill: `hsl(${(hue + layer * 24) % 360} 60% ${45 + layer * 6}%)`,
  }));
  return svg("svg", {
    class: "art", viewBox: "0 0 320 96", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true",
  }, svg("rect", { width: 320, height: 96, fill: `hsl(${hue} 42% 34%)` }), ...shapes);
}
