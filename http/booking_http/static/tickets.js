// What was paid for, each with a QR code of its payment.

import { h } from "./dom.js";

const PICTURE_AGAIN_MS = 2_000;
// A picture that did not come, as an instance was replaced just then, is asked for again.

// fresh: payments made just now, which are shown first and on their own.
export function ticketsView(app, fresh) {
  const t = app.t.bind(app);
  const list = h("div", { class: "tickets" });

  let shown = null;

  function refresh() {
    const now = app.store.tickets.map((payment) => payment.id).join();
    if (now === shown) return; // what is being looked at stays as it is
    shown = now;
    const marked = new Set(fresh.map((payment) => payment.id));
    const all = [...app.store.tickets].sort((a, b) => marked.has(b.id) - marked.has(a.id));
    list.replaceChildren(...all.map((payment) => ticket(app, payment, marked.has(payment.id))));
    if (all.length === 0) list.append(h("p", { class: "hint", text: t("noTickets") }));
  }

  refresh();
  const heading = fresh.length ? t("paid", fresh.length) : t("ticketsTitle");
  const next = app.store.token ? t("back") : t("again");
  return {
    element: h("section", { class: "paid" },
      h("h1", { text: heading }),
      list,
      h("p", { class: "row no-print" },
        h("button", { class: "main", id: "again", type: "button", text: next,
          onclick: () => app.leaveTickets() }),
        h("button", { type: "button", text: t("print"), onclick: () => window.print() }))),
    title: t("ticketsTitle"),
    refresh,
  };
}

function ticket(app, payment, isFresh) {
  const { t, words } = { t: app.t.bind(app), words: app.words };
  const concert = payment.concertName ?? "";
  const source = app.client.ticketUrl(app.store.userId, payment.id);
  const code = h("img", {
    class: "qr", src: source, alt: t("qrLabel", payment.id),
    onerror: () => setTimeout(() => { code.src = source; }, PICTURE_AGAIN_MS),
  });
  const rows = [
    [t("doors"), payment.openDate ? words.moment(payment.openDate, payment.timeZone) : "–"],
    ...(payment.venue ? [[t("ticketVenue"), payment.venue]] : []),
    [t("ticketSeat"), payment.label ? t("seat", payment) : words.number(payment.seatNumber)],
    [t("ticketPrice"), words.money(payment.totalAmount)],
  ];
  return h("article", {
    class: isFresh ? "ticket fresh" : "ticket", "data-payment": payment.id,
    "aria-label": t("ticketLabel", concert, payment),
  },
  h("div", { class: "stub" },
    h("h2", { text: concert }),
    h("dl", {}, rows.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value })))),
    h("small", { text: `${t("ticketId")} ${payment.id}` })),
  code);
}
