// The words of the page in the fan's language, and numbers, money and times as written there.

import en from "./strings-en.js";
import ko from "./strings-ko.js";

const LANGUAGES = { en, ko };
const NAME = "booking.language";

function preferred() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(NAME);
  } catch {
    // Storage is forbidden: the browser's language it is.
  }
  const wanted = [chosen, ...navigator.languages].filter(Boolean);
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES[tag]) ?? "en";
}

export class Words {
  constructor() {
    this.use(preferred());
  }

  use(language) {
    this.language = language;
    // Written as in the fan's own region, if that speaks the language: en-GB has days before months.
    const locale = navigator.languages.find((tag) => tag.startsWith(language)) ?? language;
    this.#number = new Intl.NumberFormat(locale);
    this.#money = new Intl.NumberFormat(locale, {
      style: "currency", currency: "KRW", currencyDisplay: "narrowSymbol",
    });
    this.#day = (timeZone) => new Intl.DateTimeFormat(locale, {
      weekday: "short", year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit",
      timeZone, timeZoneName: "short",
    });
    document.documentElement.lang = language;
  }

  choose(language) {
    this.use(language);
    try {
      localStorage.setItem(NAME, language);
    } catch {
      // Storage is forbidden: the choice holds until the reload.
    }
  }

  #number;
  #money;
  #day;

  // t("ahead", 3): a string, or what a function of the strings module makes of the arguments.
  t(key, ...values) {
    const words = LANGUAGES[this.language][key];
    if (words === undefined) throw new Error(`no words for ${key}`);
    return typeof words === "function" ? words(this, ...values) : words;
  }

  has(key) {
    return LANGUAGES[this.language][key] !== undefined;
  }

  number(value) { return this.#number.format(value); }
  money(value) { return this.#money.format(value); }
  moneyRange(low, high) { return low === high ? this.money(low) : `${this.money(low)} – ${this.money(high)}`; }

  // By the clocks of the venue, or our own; which of them is told.
  moment(text, timeZone) { return this.#day(timeZone ?? undefined).format(new Date(text)); }

  // When and where a date is.
  at({ open_at, timeZone, venue, city }) {
    return [this.moment(open_at, timeZone), venue, city].filter(Boolean).join(" · ");
  }

  // 4:05, or 1:04:05
  clock(seconds) {
    const parts = [Math.floor(seconds / 60) % 60, seconds % 60];
    if (seconds >= 3600) parts.unshift(Math.floor(seconds / 3600));
    return parts.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
  }

  // The words for a refusal: our own where there are some, else the service's.
  problem(error) {
    const key = `problem_${error.code}`;
    if (this.has(key)) return this.t(key, error);
    return this.t("problem_other", error.message);
  }
}
