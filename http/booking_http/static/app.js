// The fan's page: who is here, in which phase, and what is shown for it.
//
//   welcome --join--> waiting --admitted--> inside --paid--> tickets --again--> welcome
//
// The truth about the phase is the queue token's: the watch of it moves the page on, also after a
// reload or an outage. The views only show, and ask for what their buttons say.

import { Client, Problem, Unreachable, watchQueue } from "./client.js";
import { announce, countdown, focusOn, h } from "./dom.js";
import { Words } from "./i18n.js";
import { Inside } from "./inside.js";
import { waitingView, welcomeView } from "./queue-views.js";
import { Store } from "./store.js";
import { ticketsView } from "./tickets.js";

const NOTICES_MAX = 3;
const NOTICE_GOOD_MS = 8_000;
const TURN_WARNINGS_S = [120, 60];
const STEPS = { welcome: 0, waiting: 1, inside: 2, paying: 3, tickets: 4 };

class App {
  constructor() {
    this.words = new Words();
    this.store = new Store();
    this.client = new Client();
    this.phase = null;
    this.view = null;
    this.place = null;
    this.watch = null;
    this.inside = null;
    this.stopTurn = null;
    this.live = false;
    this.tokenOver = false;
  }

  t(key, ...values) {
    return this.words.t(key, ...values);
  }

  // -- start and phases ----------------------------------------------------------------------------

  start() {
    this.client.addEventListener("trouble", ({ detail }) => this.#showTrouble(detail));
    this.store.onOtherTab(() => location.reload());
    const again = () => { if (document.visibilityState === "visible") this.#lookAgain(); };
    document.addEventListener("visibilitychange", again);
    window.addEventListener("online", again);
    window.addEventListener("hashchange", () => this.inside?.route());
    this.frame();
    this.#resume();
  }

  // Time has passed, and another tab may have held seats, paid for some or put money in.
  #lookAgain() {
    this.watch?.ask();
    if (this.inside && !this.inside.basket.paying) this.inside.basket.load();
  }

  async #resume() {
    this.client.token = this.store.token;
    // What became of a hold is told by the list of those we have.
    for (const intention of this.store.unsettled("hold:")) this.store.settled(intention);
    const paid = await this.#settleIntentions();
    if (paid.length) {
      await this.#forgetEndedToken();
      this.showTickets(paid);
    } else if (this.store.token) this.follow();
    else if (this.store.unsettled("issue").length) this.join();
    else this.showWelcome();
  }

  // The last payment has used the token up, unless other seats are held.
  async #forgetEndedToken() {
    try {
      await this.client.status();
    } catch (error) {
      if (error instanceof Problem && error.tokenEnded) this.forgetToken();
      else if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    }
  }

  // Requests whose answer a reload or a crash has swallowed: the same keys get the first answers.
  async #settleIntentions() {
    const paid = [];
    for (const intention of [...this.store.unsettled("charge:"), ...this.store.unsettled("pay:")]) {
      const [kind, value] = intention.split(/:(.*)/s);
      const options = { key: this.store.key(intention) };
      try {
        if (kind === "charge") await this.client.charge(this.store.userId, Number(value), options);
        else paid.push((await this.client.pay(value, options)).data);
      } catch (error) {
        if (error instanceof Unreachable || error.status >= 500) return paid; // next time, then
        if (!(error instanceof Problem)) throw error;
      }
      this.store.settled(intention);
    }
    this.store.addTickets(paid);
    return paid;
  }

  async join() {
    const key = this.store.key("issue");
    try {
      const { data } = await this.client.issue(this.store.userId, { key });
      this.store.settled("issue");
      this.store.update({ token: data.token, farthest: data.position });
      this.client.token = data.token;
      this.place = data;
      this.follow();
    } catch (error) {
      this.#refused("issue", error);
      if (this.phase !== "welcome") this.showWelcome();
      this.view.refused?.(error);
    }
  }

  // A definite refusal ends the intention; after anything else the same key has to be used again.
  #refused(intention, error) {
    if (error instanceof Problem && error.status < 500) this.store.settled(intention);
    else if (error instanceof Problem && error.code === "queue_full") this.store.settled(intention);
    else if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
  }

  // One request with a key that outlives reloads, told as a notice when it is refused.
  async intend(intention, act) {
    try {
      const answer = await act(this.store.key(intention));
      this.store.settled(intention);
      return answer;
    } catch (error) {
      this.#refused(intention, error);
      throw error;
    }
  }

  // Watches the token: the one thing that decides between waiting, inside and over.
  follow() {
    this.watch?.stop();
    this.tokenOver = false;
    if (!this.place) this.show(waitingView(this, null), "waiting");
    this.watch = watchQueue(this.client, {
      onPlace: (place) => this.#moved(place),
      onLink: (live) => { this.live = live; this.view?.linked?.(live); },
      onEnd: () => {
        this.tokenOver = true;
        // A payment uses the token up, which may be heard of before its own answer.
        if (!this.inside?.basket.paying) this.tokenEnded();
      },
    });
    if (this.place) this.#moved(this.place);
  }

  #moved(place) {
    const admitted = place.status === "active" && this.place?.status === "pending";
    this.place = place;
    if (this.phase === "tickets") {
      if (admitted) this.notify("good", this.t("yourTurn"));
      return;
    }
    if (place.status === "active") {
      this.#turn(place);
      if (this.phase !== "inside") this.#enter();
      return;
    }
    if (place.position > this.store.data.farthest) this.store.update({ farthest: place.position });
    if (this.phase === "waiting" && this.view.moved) this.view.moved(place);
    else this.show(waitingView(this, place), "waiting");
  }

  #enter() {
    const waited = this.phase === "waiting";
    this.inside = new Inside(this);
    this.phase = "inside";
    this.inside.begin();
    if (waited) {
      this.notify("good", this.t("yourTurn"));
    }
  }

  #turn(place) {
    if (!place.expiresAt) return;
    const endsAt = performance.now() + this.client.localMs(place.expiresAt) - Date.now();
    this.stopTurn?.();
    this.stopTurn = countdown(endsAt, (seconds) => {
      const shown = document.querySelector("#turn");
      if (shown) shown.textContent = this.t("turnEnds", seconds);
      if (TURN_WARNINGS_S.includes(seconds)) announce(this.t("turnEndsSoon", seconds / 60));
      if (seconds === 0) this.watch?.ask();
    });
  }

  // The token is of no use any more: a payment used it up, its time is over, or it was given up.
  forgetToken() {
    this.watch?.stop();
    this.watch = null;
    this.stopTurn?.();
    this.stopTurn = null;
    this.inside?.end();
    this.inside = null;
    this.place = null;
    this.live = false;
    this.client.token = null;
    this.store.update({ token: null, farthest: 0 });
    if (location.hash) history.replaceState(null, "", location.pathname);
  }

  tokenEnded() {
    this.ended(this.phase === "inside" ? "turnOver" : "tokenGone");
  }

  ended(reason) {
    this.forgetToken();
    this.showWelcome();
    this.notify(reason === "left" ? "info" : "bad", this.t(reason));
  }

  async leave() {
    try {
      await this.inside?.basket.giveAllBack();
      await this.client.leave();
    } catch (error) {
      if (!(error instanceof Problem && error.tokenEnded)) {
        this.fail(error);
        return;
      }
    }
    this.ended("left");
  }

  showWelcome() {
    this.show(welcomeView(this), "welcome");
  }

  async showTickets(fresh = []) {
    this.show(ticketsView(this, fresh), "tickets");
    try {
      const { data } = await this.client.payments(this.store.userId);
      this.store.addTickets(data.items);
    } catch (error) {
      // Where tokens are required, past payments are told only to those inside: ours are kept here.
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      return;
    }
    if (this.phase === "tickets") this.view.refresh();
    this.frame();
  }

  leaveTickets() {
    this.phase = "between";
    if (this.place) this.#moved(this.place);
    else if (this.store.token) this.follow();
    else this.showWelcome();
  }

  startOver() {
    this.forgetToken();
    this.store.startOver();
    this.showWelcome();
  }

  // -- what is around the views --------------------------------------------------------------------

  show(view, phase) {
    this.view?.destroy?.();
    this.view = view;
    const moved = phase !== this.phase;
    const first = this.phase === null; // then the focus stays where the browser puts it
    this.phase = phase;
    if (moved) document.querySelector("#notices").replaceChildren();
    document.querySelector("#main").replaceChildren(view.element);
    this.frame();
    document.title = view.title ? `${view.title} · ${this.t("title")}` : this.t("title");
    const heading = view.element.querySelector("h1");
    if (heading && moved && !first) focusOn(heading);
  }

  step(name) {
    for (const item of document.querySelectorAll("#steps li")) {
      const number = Number(item.dataset.step);
      item.classList.toggle("done", number < STEPS[name]);
      if (number === STEPS[name]) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }

  // The header and the footer, anew: after a change of phase, language or tickets.
  frame() {
    const language = this.t("languageTag");
    const steps = [1, 2, 3, 4].map((number) =>
      h("li", { "data-step": number }, h("span", { text: this.t(`step${number}`) })));
    const inside = this.phase === "inside";
    document.querySelector("#top").replaceChildren(
      h("div", { class: "bar" },
        h("a", { class: "mark", href: "/", text: this.t("title") }),
        inside ? h("span", { id: "turn", class: "chip", role: "timer" }) : null,
        h("span", { class: "grow" }),
        h("button", {
          id: "tickets", class: "quiet", type: "button",
          text: this.t("myTickets", this.store.tickets.length), onclick: () => this.#openTickets(),
        }),
        h("button", {
          id: "language", class: "quiet", type: "button", lang: language, text: this.t("language"),
          "aria-label": this.t("languageLabel"), onclick: () => this.#speak(language),
        })),
      h("nav", { "aria-label": this.t("steps") }, h("ol", { id: "steps" }, steps)));
    document.querySelector("#foot").replaceChildren(
      h("span", { text: this.t("footer") }), " ", h("a", { href: "/docs", text: this.t("apiPages") }));
    document.querySelector("#skip").textContent = this.t("skip");
    this.step(this.phase ?? "welcome");
    if (inside && this.place) this.#turn(this.place);
  }

  // The watch of the token goes on: looking at tickets costs nobody their place.
  #openTickets() {
    this.inside?.end();
    this.inside = null;
    this.showTickets();
  }

  #speak(language) {
    this.words.choose(language);
    document.querySelector("#notices").replaceChildren();
    if (this.phase === "inside") {
      this.frame();
      this.inside.respeak();
    } else if (this.phase === "waiting") this.show(waitingView(this, this.place), "waiting");
    else if (this.phase === "tickets") this.show(ticketsView(this, []), "tickets");
    else this.showWelcome();
    document.querySelector("#language").focus();
  }

  // kind: "good" goes away by itself; "bad" is said at once and stays until dismissed.
  notify(kind, words) {
    const notices = document.querySelector("#notices");
    const close = h("button", {
      class: "quiet", type: "button", "aria-label": this.t("dismiss"), text: "×",
      onclick: () => notice.remove(),
    });
    const notice = h("div", { class: `notice ${kind}` }, h("p", { text: words }), close);
    notice.setAttribute("role", kind === "bad" ? "alert" : "status");
    notices.append(notice);
    while (notices.children.length > NOTICES_MAX) notices.firstElementChild.remove();
    if (kind !== "bad") setTimeout(() => notice.remove(), NOTICE_GOOD_MS);
  }

  // Something that was asked for did not work. Anything but a refusal is a fault of this page.
  fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem || error instanceof Unreachable)) {
      console.error(error);
    }
    this.notify("bad", this.words.problem(error));
  }

  #showTrouble(troubled) {
    document.querySelector("#trouble").textContent = troubled ? this.t("reconnecting") : "";
  }
}

new App().start();
