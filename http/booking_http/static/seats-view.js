// The seats of one date, as they change, and the one that the fan has chosen.

import { Problem, watchSeats } from "./client.js";
import { actionButton, announce, focusOn, h } from "./dom.js";
import { arrange, planOf, pricesOf } from "./plan.js";
import { SeatGrid } from "./seat-grid.js";
import { SECTION_FROM, Sections, sectionsOf } from "./sections.js";

const LEGEND = ["available", "held", "sold", "mine"];
const TAKEN = ["seat_unavailable", "not_found"];

export class SeatsView {
  #seats = new Map(); // by number, as the service tells them
  #plan = null;
  #arranged = null; // the sections of the plan
  #sections = null; // of a large hall, or of one with standing room
  #section = null; // the one that is open
  #shown = null; // a SeatGrid or Sections
  #chosen = null;
  #destroyed = false;
  #holding = null; // the seat whose hold is asked for: the map may say so before the answer does
  #watch;
  #basketInSight = false;
  #sight = new IntersectionObserver(([seen]) => {
    this.#basketInSight = seen.isIntersecting;
    const box = this.chooser.querySelector(".to-pay");
    if (box) box.hidden = seen.isIntersecting;
  }, { rootMargin: "0px 0px -40% 0px" }); // more of it than its first line

  constructor(app, inside, schedule) {
    Object.assign(this, { app, inside, schedule });
    this.t = app.t.bind(app);
    this.#build();
    this.#sight.observe(inside.basket.panel);
    this.#begin();
  }

  async #begin() {
    const { app, inside, schedule } = this;
    this.#plan = await planOf(app.client, schedule);
    if (this.#destroyed) return;
    this.#watch = watchSeats(app.client, schedule, {
      onSeats: (seats) => this.#all(seats),
      onChanges: (changes) => this.#changed(changes),
      onLink: () => this.#status(),
      onEnd: (problem) => {
        if (problem.status === 404) {
          app.fail(problem);
          inside.open(null);
        } else app.watch?.ask();
      },
    });
  }

  destroy() {
    this.#destroyed = true;
    this.#sight.disconnect();
    this.#watch?.stop();
    this.#shown?.destroy();
  }

  get date() {
    return this.inside.dates?.get(this.schedule);
  }

  get title() {
    return this.date?.concertName ?? this.t("seatsTitle");
  }

  #build() {
    const { t } = this;
    this.heading = h("h1", { text: this.title });
    this.when = h("p", { class: "lead" });
    this.count = h("p", { id: "free", class: "hint" });
    this.link = h("span", { id: "seats-link" });
    this.prices = h("ul", { class: "legend", id: "prices" });
    this.place = h("div", { class: "hall" }, h("p", { class: "hint", text: t("loadingSeats") }));
    this.finder = actionButton({ id: "find", text: t("findSeat") }, () => this.#find());
    this.pair = actionButton({ id: "find-two", text: t("findTwo") }, () => this.#holdTwo());
    this.chooser = h("div", { class: "panel", id: "chosen" });
    this.element = h("div", {},
      h("p", {}, h("button", {
        class: "quiet back", type: "button", text: `← ${t("allDates")}`,
        onclick: () => this.inside.open(null),
      })),
      h("div", { class: "headline" },
        h("div", {}, this.heading, this.when, this.count), this.finder, this.pair),
      this.prices,
      h("p", { class: "stage", text: t("stage") }),
      this.place,
      h("ul", { class: "legend" }, LEGEND.map((state) =>
        h("li", {}, h("span", { class: "sample state", "data-state": state }), t(`state_${state}`)))),
      h("p", { class: "hint", id: "grid-hint", text: t("gridHint") }));
    this.datesChanged();
    this.#showChosen();
  }

  // Name and time come with the dates, which a reload may bring after the seats.
  datesChanged() {
    if (!this.date) return;
    this.heading.textContent = this.date.concertName;
    this.when.textContent = this.app.words.at(this.date);
    document.title = `${this.date.concertName} · ${this.t("title")}`;
  }

  // -- seats ---------------------------------------------------------------------------------------

  #all(seats) {
    this.#seats = new Map(seats.map((seat) => [seat.seatNumber, seat]));
    this.#arranged = this.#plan && arrange(this.#plan, this.#seats);
    const byPlan = this.#arranged ?? [];
    const wanted = seats.length > SECTION_FROM || byPlan.some((one) => one.standing);
    const title = (name) => this.t("section", name);
    this.#sections = wanted ? this.#arranged ?? sectionsOf(seats, title) : null;
    this.#showPrices(seats);
    const open = this.#sections?.find((one) => one.name === this.#section?.name) ?? null;
    this.#open(open, false);
    this.#status();
  }

  #showPrices(seats) {
    const prices = pricesOf(this.#plan, seats);
    const colours = new Map(prices.map(({ id, colour }) => [id, colour]));
    for (const seat of seats) seat.colour = colours.get(seat.category);
    this.prices.replaceChildren(...prices.map(({ name, colour, prices: [low, high] }) => {
      const swatch = h("span", { class: "grade", "aria-hidden": "true" });
      if (colour) swatch.style.setProperty("--grade", colour);
      return h("li", {}, colour ? swatch : null, `${name} ${this.app.words.moneyRange(low, high)}`);
    }));
  }

  #changed(changes) {
    for (const { seatNumber, state } of changes) this.#seats.get(seatNumber).state = state;
    const numbers = changes.map((one) => one.seatNumber);
    const chosen = this.#chosen;
    const lost = chosen && chosen.state !== "available" && !this.#mine(chosen);
    if (lost && chosen !== this.#holding) {
      this.#choose(null);
      this.app.notify("bad", this.t("justTaken", chosen));
    }
    this.#shown?.refresh(numbers, true);
    this.#status();
  }

  heldChanged() {
    if (this.#chosen && this.#mine(this.#chosen)) this.#choose(null);
    else if (!this.#chosen) this.#showChosen();
    this.#shown?.refresh([...this.#seats.keys()]);
    this.#watch?.ask();
    this.#status();
  }

  #mine(seat) {
    return this.inside.basket.isMine(seat.id);
  }

  // A seat just held is ours before the map says that it is held; one that was given back is free
  // for us when the map says so.
  #state(seat) {
    if (this.#mine(seat)) return "mine";
    return seat === this.#chosen ? "chosen" : seat.state;
  }

  #status() {
    const all = [...this.#seats.values()];
    const free = all.filter((seat) => seat.state === "available" && !this.#mine(seat)).length;
    this.link.className = this.#watch?.live ? "live" : "polled";
    this.link.textContent = this.t(this.#watch?.live ? "live" : "polled");
    if (all.length === 0) return;
    const words = free ? this.t("free", free, all.length) : this.t("soldOut");
    this.count.replaceChildren(this.link, ` · ${words}`);
    this.finder.hidden = free === 0;
    this.pair.hidden = free < 2;
  }

  // -- what is shown of them -----------------------------------------------------------------------

  #open(section, moveFocus = true) {
    if (section?.standing) {
      this.#find(section);
      return;
    }
    this.#shown?.destroy();
    this.#section = section;
    if (this.#sections && !section) {
      this.#shown = new Sections({
        app: this.app, sections: this.#sections, state: (seat) => this.#state(seat),
        open: (one) => this.#open(one),
      });
      const hint = h("p", { class: "hint", text: this.t("sectionsHint") });
      this.place.replaceChildren(hint, this.#shown.element);
      return;
    }
    const seats = section ? section.seats : [...this.#seats.values()];
    this.place.replaceChildren(...(section ? [this.#sectionHeading(section)] : []));
    const byPlan = section ? [section] : this.#arranged ?? [];
    const rows = byPlan.flatMap((one) => one.rows ?? []);
    this.#shown = this.#grid(seats, rows.length ? rows : undefined);
    this.place.append(this.#shown.element);
    this.#shown.layout();
    if (section && moveFocus) focusOn(this.place.querySelector("h2"));
  }

  #sectionHeading(section) {
    return h("div", { class: "row" },
      h("h2", { text: section.title }),
      section.first ? h("span", { class: "hint", text: this.t("sectionSeats", section.first, section.last) }) : null,
      h("button", {
        class: "quiet", type: "button", text: this.t("allSections"), onclick: () => {
          this.#open(null);
          this.place.querySelector(`[data-section="${CSS.escape(section.name)}"]`).focus();
        },
      }));
  }

  #grid(seats, rows) {
    return new SeatGrid({
      seats, rows,
      name: this.t("gridLabel"),
      hint: "grid-hint",
      label: (seat, state) => this.t("seatSaid", seat, state),
      state: (seat) => this.#state(seat),
      choose: (seat) => this.#activate(seat),
    });
  }

  // -- choosing and holding ------------------------------------------------------------------------

  #activate(seat) {
    const state = this.#state(seat);
    if (state === "chosen") this.holdButton.click();
    else if (state === "available") this.#choose(seat);
    else announce(this.t("seatSaid", seat, state));
  }

  #choose(seat) {
    const before = this.#chosen;
    this.#chosen = seat;
    this.#showChosen();
    const numbers = [before, seat].filter(Boolean).map((one) => one.seatNumber);
    this.#shown?.refresh(numbers);
    if (seat) announce(this.t("seatSaid", seat, "chosen"));
  }

  // Of a standing area any place will do: not the one that everybody else is about to ask for.
  #find(area = null) {
    const isFree = (seat) => seat.state === "available" && !this.#mine(seat);
    if (area) {
      const free = area.seats.filter(isFree);
      if (free.length) this.#choose(free[Math.floor(Math.random() * free.length)]);
      return;
    }
    const inOrder = this.#arranged?.flatMap((one) => one.seats) ?? [...this.#seats.values()];
    const seat = this.#section?.seats.find(isFree) ?? inOrder.find(isFree);
    if (!seat) return;
    const section = this.#sections?.find((one) => one.seats.includes(seat));
    if (section && section !== this.#section) this.#open(section, false);
    if (section?.standing) return;
    this.#choose(seat);
    this.#shown.focus(seat.seatNumber);
  }

  // The service chooses: the map here may be a moment old.
  async #holdTwo() {
    const { app } = this;
    const wish = { quantity: 2, together: "prefer" };
    try {
      const { data } = await app.intend(`two:${this.schedule}`, (key) =>
        app.client.order(this.schedule, wish, { key }));
      await this.inside.basket.load();
      app.notify("good", this.t("heldTwo", ...data.items.map((item) => item.seatNumber)));
      document.querySelector("#basket h2").focus({ preventScroll: true });
    } catch (error) {
      app.fail(error);
    }
  }

  #showChosen() {
    const { t } = this;
    const seat = this.#chosen;
    if (!seat) {
      this.chooser.replaceChildren(h("p", { class: "hint", text: t("nothingChosen") }), ...this.#toPay());
      return;
    }
    this.holdButton = actionButton({ class: "main", id: "hold", text: t("hold") }, () => this.#hold(seat));
    this.chooser.replaceChildren(
      h("p", { class: "chosen" },
        h("strong", { text: t("seat", seat) }),
        h("span", { text: this.app.words.money(seat.price) })),
      ...(seat.flags ?? []).map((flag) => h("p", { class: "hint", text: t(`flag_${flag}`) })),
      this.holdButton);
  }

  // Where the basket is below the seats, what is held and how to pay has to be in sight.
  #toPay() {
    const { basket } = this.inside;
    if (basket.holds.length === 0) return [];
    return [h("div", { class: "to-pay", hidden: this.#basketInSight },
      h("p", { class: "chosen" },
        h("strong", { text: this.t("toPay", basket.holds.length) }),
        h("span", { text: this.app.words.money(basket.total) })),
      h("button", {
        class: "main", type: "button", text: this.t("goPay"),
        onclick: () => {
          basket.panel.scrollIntoView();
          basket.panel.querySelector("h2").focus({ preventScroll: true });
        },
      }))];
  }

  async #hold(seat) {
    const { app } = this;
    this.#holding = seat;
    try {
      const answer = await app.intend(`hold:${seat.id}`, (key) => app.client.reserve(seat.id, { key }));
      this.#chosen = null;
      await this.inside.basket.add(answer, this.date);
      app.notify("good", this.t("held", seat));
      document.querySelector("#basket h2").focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof Problem && TAKEN.includes(error.code))) {
        app.fail(error);
        return;
      }
      app.notify("bad", this.t("justTaken", seat));
      if (seat.state === "available") seat.state = "held"; // until the map is here
      this.#choose(null);
      this.#shown.refresh([seat.seatNumber]);
      this.#shown.focus?.(seat.seatNumber);
      this.#watch.ask();
    } finally {
      this.#holding = null;
    }
    this.#showChosen();
    this.#status();
  }
}
