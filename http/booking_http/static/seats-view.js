// The seats of one date, as they change, and the one that the fan has chosen.

import { Problem, watchSeats } from "./client.js";
import { actionButton, announce, focusOn, h } from "./dom.js";
import { SeatGrid } from "./seat-grid.js";
import { SECTION_FROM, Sections, sectionsOf } from "./sections.js";

const LEGEND = ["available", "held", "sold", "mine"];
const TAKEN = ["seat_unavailable", "not_found"];

export class SeatsView {
  #seats = new Map(); // by number, as the service tells them
  #sections = null; // of a large hall
  #section = null; // the one that is open
  #shown = null; // a SeatGrid or Sections
  #chosen = null;
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
    this.#sight.disconnect();
    this.#watch.stop();
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
    this.place = h("div", { class: "hall" }, h("p", { class: "hint", text: t("loadingSeats") }));
    this.finder = actionButton({ id: "find", text: t("findSeat") }, () => this.#find());
    this.chooser = h("div", { class: "panel", id: "chosen" });
    this.element = h("div", {},
      h("p", {}, h("button", {
        class: "quiet back", type: "button", text: `← ${t("allDates")}`,
        onclick: () => this.inside.open(null),
      })),
      h("div", { class: "headline" },
        h("div", {}, this.heading, this.when, this.count), this.finder),
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
    this.when.textContent = this.app.words.moment(this.date.open_at);
    document.title = `${this.date.concertName} · ${this.t("title")}`;
  }

  // -- seats ---------------------------------------------------------------------------------------

  #all(seats) {
    this.#seats = new Map(seats.map((seat) => [seat.seatNumber, seat]));
    this.#sections = seats.length > SECTION_FROM ? sectionsOf(seats) : null;
    const open = this.#sections?.find((one) => one.name === this.#section?.name) ?? null;
    this.#open(open, false);
    this.#status();
  }

  #changed(changes) {
    for (const { seatNumber, state } of changes) this.#seats.get(seatNumber).state = state;
    const numbers = changes.map((one) => one.seatNumber);
    const chosen = this.#chosen;
    const lost = chosen && chosen.state !== "available" && !this.#mine(chosen);
    if (lost && chosen !== this.#holding) {
      this.#choose(null);
      this.app.notify("bad", this.t("justTaken", chosen.seatNumber));
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
  }

  // -- what is shown of them -----------------------------------------------------------------------

  #open(section, moveFocus = true) {
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
    this.#shown = this.#grid(seats);
    this.place.append(this.#shown.element);
    this.#shown.layout();
    if (section && moveFocus) focusOn(this.place.querySelector("h2"));
  }

  #sectionHeading(section) {
    return h("div", { class: "row" },
      h("h2", { text: this.t("section", section.name) }),
      h("span", { class: "hint", text: this.t("sectionSeats", section.first, section.last) }),
      h("button", {
        class: "quiet", type: "button", text: this.t("allSections"), onclick: () => {
          this.#open(null);
          this.place.querySelector(`[data-section="${section.name}"]`).focus();
        },
      }));
  }

  #grid(seats) {
    return new SeatGrid({
      seats,
      name: this.t("gridLabel"),
      hint: "grid-hint",
      label: (seat, state) => this.t("seatSaid", seat.seatNumber, seat.price, state),
      state: (seat) => this.#state(seat),
      choose: (seat) => this.#activate(seat),
    });
  }

  // -- choosing and holding ------------------------------------------------------------------------

  #activate(seat) {
    const state = this.#state(seat);
    if (state === "chosen") this.holdButton.click();
    else if (state === "available") this.#choose(seat);
    else announce(this.t("seatSaid", seat.seatNumber, seat.price, state));
  }

  #choose(seat) {
    const before = this.#chosen;
    this.#chosen = seat;
    this.#showChosen();
    const numbers = [before, seat].filter(Boolean).map((one) => one.seatNumber);
    this.#shown?.refresh(numbers);
    if (seat) announce(this.t("seatSaid", seat.seatNumber, seat.price, "chosen"));
  }

  #find() {
    const inView = this.#section?.seats ?? [...this.#seats.values()];
    const isFree = (seat) => seat.state === "available" && !this.#mine(seat);
    const seat = inView.find(isFree) ?? [...this.#seats.values()].find(isFree);
    if (!seat) return;
    if (this.#sections && !this.#section?.seats.includes(seat)) {
      this.#open(this.#sections.find((one) => one.seats.includes(seat)), false);
    }
    this.#choose(seat);
    this.#shown.focus(seat.seatNumber);
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
        h("strong", { text: t("seat", seat.seatNumber) }),
        h("span", { text: this.app.words.money(seat.price) })),
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
      app.notify("good", this.t("held", seat.seatNumber));
      document.querySelector("#basket h2").focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof Problem && TAKEN.includes(error.code))) {
        app.fail(error);
        return;
      }
      app.notify("bad", this.t("justTaken", seat.seatNumber));
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
