// The seats held, the balance, paying. A hold's end is decided by the service: the countdown here
// only says when to look.

import { Problem } from "./client.js";
import { actionButton, announce, busyWhile, countdown, h } from "./dom.js";

const CHARGES = [10_000, 50_000, 100_000];
const CHARGE_MAX = 10_000_000;
const WARN_S = 60;
const NAMES_MAX = 20;
const ENDED = ["hold_expired", "reservation_ended", "reservation_not_found", "already_paid"];

export class Basket {
  #stops = [];
  #over = new Set();
  #destroyed = false;

  constructor(app, inside) {
    this.app = app;
    this.inside = inside;
    this.holds = [];
    this.balance = null;
    this.paying = false;
    this.chooser = h("div");
    this.panel = h("div", { class: "panel", id: "basket" });
    this.element = h("aside", {}, this.chooser, this.panel);
    this.render();
  }

  destroy() {
    this.#destroyed = true;
    this.#stopCountdowns();
  }

  isMine(seatId) {
    return this.holds.some((hold) => hold.seat.id === seatId);
  }

  get total() {
    return this.holds.reduce((sum, hold) => sum + hold.price, 0);
  }

  // -- from the service ----------------------------------------------------------------------------

  async load() {
    try {
      const { client, store } = this.app;
      const [held, balance] = await Promise.all([client.reservations(), client.balance(store.userId)]);
      if (this.#destroyed) return;
      this.balance = balance.data.balance;
      const pending = held.data.filter((one) => one.status === "PENDING");
      this.#sayWhatEnded(pending);
      this.holds = pending.map((one) => this.#timed(one)).reverse();
    } catch (error) {
      if (!(error instanceof Problem && error.tokenEnded)) this.app.fail(error);
      return;
    }
    this.render();
    this.inside.heldChanged();
  }

  #timed(reservation) {
    return { ...reservation, endsAt: performance.now() + reservation.expiresInSeconds * 1000 };
  }

  #sayWhatEnded(pending) {
    for (const hold of this.holds) {
      if (!this.#over.has(hold.id) || pending.some((one) => one.id === hold.id)) continue;
      this.app.notify("bad", this.app.t("holdOver", hold.seat));
    }
  }

  // A seat was held just now. A replayed answer tells of the time when it was first given.
  async add(answer, date) {
    this.#remember(answer.data.seat.id, date);
    if (answer.replayed) {
      await this.load();
      return;
    }
    this.holds.push(this.#timed(answer.data));
    this.render();
    this.inside.heldChanged();
  }

  // The service tells a reservation's seat, not its concert: that is remembered here.
  #remember(seatId, date) {
    if (!date) return;
    const names = { ...this.app.store.data.names, [seatId]: [date.concertName, date.open_at, date.timeZone] };
    const kept = Object.entries(names).slice(-NAMES_MAX);
    this.app.store.update({ names: Object.fromEntries(kept) });
  }

  async #giveBack(hold) {
    const { app } = this;
    try {
      await app.client.release(hold.id);
      app.notify("good", app.t("givenBack", hold.seat));
    } catch (error) {
      app.fail(error);
      if (!(error instanceof Problem && ENDED.includes(error.code))) return;
    }
    this.#drop(hold);
  }

  // Before the turn is given up: a seat would stay held for the rest of its minutes.
  async giveAllBack() {
    for (const hold of [...this.holds]) await this.#giveBack(hold);
  }

  #drop(hold) {
    this.holds = this.holds.filter((one) => one.id !== hold.id);
    this.render();
    this.inside.heldChanged();
  }

  async #charge(amount) {
    const { app } = this;
    try {
      await app.intend(`charge:${amount}`, (key) =>
        app.client.charge(app.store.userId, amount, { key }));
      // Not the answer's: a replayed one tells the balance of then.
      const { data } = await app.client.balance(app.store.userId);
      this.balance = data.balance;
      app.notify("good", app.t("charged", this.balance));
    } catch (error) {
      app.fail(error);
      return;
    }
    this.render();
    this.#focus();
  }

  async #pay() {
    const { app } = this;
    this.paying = true;
    const paid = await this.#payEach();
    this.paying = false;
    if (paid.length === 0) {
      if (app.tokenOver) {
        app.tokenEnded();
        return;
      }
      await this.load();
      this.#focus();
      return;
    }
    // The last payment uses the token up; with seats still held it is good for those.
    if (this.holds.length === 0 || app.tokenOver) app.forgetToken();
    await app.showTickets(paid);
  }

  // Each seat is its own payment; what cannot be paid does not keep the others from it.
  async #payEach() {
    const { app } = this;
    const paid = [];
    for (const hold of [...this.holds]) {
      try {
        const { data } = await app.intend(`pay:${hold.seat.id}`, (key) =>
          app.client.pay(hold.seat.id, { key }));
        paid.push(data);
        app.store.addTickets([data]);
        this.holds = this.holds.filter((one) => one.id !== hold.id);
      } catch (error) {
        app.fail(error);
        if (!(error instanceof Problem)) break;
        if (ENDED.includes(error.code)) this.holds = this.holds.filter((one) => one.id !== hold.id);
        if (error.tokenEnded || error.code === "insufficient_balance") break;
      }
    }
    return paid;
  }

  // -- on the page ---------------------------------------------------------------------------------

  showStep() {
    this.app.step(this.holds.length ? "paying" : "inside");
  }

  #focus() {
    (this.panel.querySelector(".pay:not([aria-disabled])")
      ?? this.panel.querySelector("input") ?? this.panel.querySelector("h2")).focus();
  }

  #stopCountdowns() {
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  render() {
    const { t, words } = { t: this.app.t.bind(this.app), words: this.app.words };
    this.#stopCountdowns();
    const missing = this.balance === null ? 0 : Math.max(0, this.total - this.balance);
    const sums = h("dl", { class: "sums" },
      this.holds.length ? [h("dt", { text: t("total") }),
        h("dd", { id: "total", text: words.money(this.total) })] : null,
      h("dt", { text: t("balance") }),
      h("dd", { id: "balance", text: this.balance === null ? "…" : words.money(this.balance) }));
    const pay = actionButton({ class: "main pay", text: t("pay", this.total) }, () => this.#pay());
    if (missing) pay.setAttribute("aria-disabled", "true");
    this.panel.replaceChildren(
      h("h2", { tabindex: "-1", text: t("basketTitle") }),
      this.holds.length
        ? h("ul", { class: "holds" }, this.holds.map((hold) => this.#row(hold)))
        : h("p", { class: "hint", text: t("basketEmpty") }),
      sums,
      ...(this.holds.length ? [pay] : []),
      this.#chargeForm(missing));
    if (this.app.phase === "inside") this.showStep();
  }

  #row(hold) {
    const { app } = this;
    const left = h("span", { class: "left", role: "timer" });
    this.#stops.push(countdown(hold.endsAt, (seconds) => {
      left.textContent = app.t("holdLeft", seconds);
      left.classList.toggle("soon", seconds <= WARN_S);
      if (seconds === WARN_S) announce(app.t("holdEnding", hold.seat));
      if (seconds === 0 && !this.#over.has(hold.id)) this.#lookWhetherOver(hold);
    }));
    const [concert, begins, zone] = app.store.data.names?.[hold.seat.id] ?? [];
    return h("li", { "data-seat": hold.seat.seatNumber },
      h("div", {},
        h("strong", { text: app.t("seat", hold.seat) }), " ",
        h("span", { text: app.words.money(hold.price) })),
      left,
      h("small", { text: concert ? `${concert}, ${app.words.moment(begins, zone)}` : "" }),
      actionButton({
        class: "quiet", text: app.t("giveBack"),
        "aria-label": app.t("giveBackSaid", hold.seat),
      }, async () => {
        await this.#giveBack(hold);
        this.#focus();
      }));
  }

  // A second after our clock's end, as the service's may be a little behind.
  #lookWhetherOver(hold) {
    this.#over.add(hold.id);
    setTimeout(() => { if (!this.#destroyed) this.load(); }, 1_000);
  }

  #chargeForm(missing) {
    const { app } = this;
    const wanted = missing || CHARGES[1];
    const input = h("input", {
      name: "amount", inputmode: "numeric", autocomplete: "off", value: String(wanted),
      "aria-label": app.t("amount"), "aria-describedby": "charge-words",
    });
    const wrong = h("p", { id: "charge-words", class: "hint" });
    if (missing) wrong.textContent = app.t("chargeShort", missing);
    const button = h("button", { class: missing ? "main" : "", text: app.t("charge") });
    const quick = CHARGES.map((amount) => h("button", {
      class: "quiet", type: "button", text: app.words.money(amount),
      onclick: () => { input.value = String(amount); },
    }));
    const form = h("form", { id: "charge" },
      h("h3", { text: app.t("chargeTitle") }), wrong,
      h("div", { class: "row" }, input, button), h("div", { class: "row quick" }, quick));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const amount = Number(input.value.replaceAll(/[,\s]/g, ""));
      if (!Number.isInteger(amount) || amount < 1 || amount > CHARGE_MAX) {
        wrong.textContent = app.t("amountWrong");
        wrong.setAttribute("role", "alert");
        input.setAttribute("aria-invalid", "true");
        input.focus();
        return;
      }
      busyWhile(button, () => this.#charge(amount));
    });
    return form;
  }
}
