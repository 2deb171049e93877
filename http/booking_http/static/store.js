// What survives a reload: who the fan is, the token, keys of requests whose outcome is not known yet.

import { newId } from "./client.js";

const NAME = "booking.fan.1";
const TICKETS_MAX = 50;

export class Store {
  constructor() {
    this.#read();
    if (!this.data.userId) this.update({ userId: newId() });
  }

  #read() {
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(NAME));
    } catch {
      // Unreadable, or storage is forbidden: the page works, but forgets at a reload.
    }
    this.data = { userId: null, token: null, farthest: 0, keys: {}, tickets: [], ...kept };
  }

  // Another tab has changed it.
  onOtherTab(act) {
    window.addEventListener("storage", (event) => {
      if (event.key !== NAME) return;
      const { userId, token } = this.data;
      this.#read();
      if (userId !== this.data.userId || token !== this.data.token) act();
    });
  }

  update(changes) {
    Object.assign(this.data, changes);
    try {
      localStorage.setItem(NAME, JSON.stringify(this.data));
    } catch {
      // Full or forbidden: see above.
    }
  }

  get userId() { return this.data.userId; }
  get token() { return this.data.token; }
  get tickets() { return this.data.tickets; }

  // The Idempotency-Key of an intention. It stays the same until the outcome is known, over reloads
  // too: so a repeat after a lost answer gets the first answer, and not a second effect.
  key(intention) {
    const keys = this.data.keys;
    if (!keys[intention]) this.update({ keys: { ...keys, [intention]: newId() } });
    return this.data.keys[intention];
  }

  settled(intention) {
    const { [intention]: _, ...keys } = this.data.keys;
    this.update({ keys });
  }

  // Intentions of a kind ("pay:") whose outcome is not known.
  unsettled(kind) {
    return Object.keys(this.data.keys).filter((name) => name.startsWith(kind));
  }

  addTickets(payments) {
    const known = new Map(this.data.tickets.map((ticket) => [ticket.id, ticket]));
    for (const payment of payments) known.set(payment.id, payment);
    const newest = [...known.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    this.update({ tickets: newest.slice(0, TICKETS_MAX) });
  }

  // A new person: nothing of the old one stays.
  startOver() {
    this.update({ userId: newId(), token: null, farthest: 0, keys: {}, tickets: [] });
  }
}
