// The fan's turn: dates, seats, and the seats held. Which of them is shown is in the address
// (#/date/ID), so that a reload and the back button do what one expects.

import { Problem, Unreachable } from "./client.js";
import { Basket } from "./basket.js";
import { datesView } from "./dates-view.js";
import { focusOn, h } from "./dom.js";
import { SeatsView } from "./seats-view.js";

const DATES_POLL_MS = 3_000;
const DATE_HASH = "#/date/";

export class Inside {
  #timer = null;
  #etag = null;
  #ended = false;
  #content = null;
  #shown = null;

  constructor(app) {
    this.app = app;
    this.dates = null; // by id, once known
    this.basket = new Basket(app, this);
  }

  begin() {
    this.basket.load();
    this.#poll();
    this.#layout();
    this.route();
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#content?.destroy?.();
    this.basket.destroy();
  }

  // In another language: everything is made anew.
  respeak() {
    this.#shown = null;
    this.basket.render();
    this.#layout();
    this.route();
  }

  #layout() {
    this.left = h("div", { class: "content" });
    const element = h("section", { class: "inside" }, this.left, this.basket.element);
    this.app.show({ element, title: this.app.t("datesTitle") }, "inside");
    this.basket.showStep();
  }

  get schedule() {
    return location.hash.startsWith(DATE_HASH)
      ? decodeURIComponent(location.hash.slice(DATE_HASH.length))
      : null;
  }

  open(schedule) {
    location.hash = schedule === null ? "" : DATE_HASH + encodeURIComponent(schedule);
  }

  route() {
    if (this.#ended || this.#shown === (this.schedule ?? "dates")) return;
    const first = this.#shown === null;
    this.#shown = this.schedule ?? "dates";
    this.#content?.destroy?.();
    this.#content = this.schedule === null
      ? datesView(this.app, this)
      : new SeatsView(this.app, this, this.schedule);
    this.left.replaceChildren(this.#content.element);
    this.basket.chooser.replaceChildren(...(this.#content.chooser ? [this.#content.chooser] : []));
    document.title = `${this.#content.title} · ${this.app.t("title")}`;
    const heading = this.left.querySelector("h1");
    if (heading) focusOn(heading);
    if (first) return;
    window.scrollTo({ top: 0 });
  }

  // What is held has changed.
  heldChanged() {
    this.#content?.heldChanged?.();
  }

  async #poll() {
    let found = null;
    try {
      found = await this.app.client.dates({ etag: this.#etag });
    } catch (error) {
      if (this.#ended) return;
      // The watch of the token says so if the turn is over; all else passes, and is asked again.
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    }
    if (this.#ended) return;
    if (found?.data) {
      this.#etag = found.etag;
      this.dates = new Map(found.data.map((date) => [date.id, date]));
      this.#content?.datesChanged?.();
    }
    this.#timer = setTimeout(() => this.#poll(), DATES_POLL_MS);
  }
}
