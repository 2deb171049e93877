// The service's API for browsers: calls that may be repeated safely, and watches that are pushed to
// over a websocket and fall back to polls. Documented in docs/reference/browser-client.md.
//
// Nothing here touches the page, so other pages can use the module as it is.

export const PATIENCE_MS = 30_000;
// How long a call goes on trying: an instance that died is replaced well within this time.
const ATTEMPT_MAX_MS = 15_000;
// The service answers within 10 s or says that it cannot; the rest is the way there and back.
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 5_000;
const RECONNECT_FIRST_MS = 1_000;
const RECONNECT_MAX_MS = 60_000;
const QUIET_HEARTBEATS = 1.5;
const PONG_MAX_MS = 10_000;
// A socket can be dead without the browser knowing, as it hides the server's pings from programs:
// after a silence of so many heartbeats we ask ourselves, and give up without an answer in time.
const RESYNC_PAUSE_MS = 500;
// Doubts about a seat map are settled by HTTP at most this often.
const SEAT_POLL_MS = 1_500;
const SEAT_POLL_LARGE_MS = 4_000;
const LARGE_SEATS = 1_000;
// The list of 10,000 seats is about 1 MB each time that one of them has changed.

// What a websocket's close code asks of the client (docs/reference/websocket.md). "ask": do not open
// it again, and learn by HTTP what is the matter; "jitter": come back after a random part of the
// server's jitter. A socket that never got as far as the hello comes back after a pause that doubles.
export const CLOSE_CODES = Object.freeze({
  1000: "ask", // all is told
  1001: "jitter", // going away
  1002: "ask", // not a websocket frame
  1003: "ask", // a message that is not understood
  1006: "jitter", // lost without a word
  1007: "ask", // not UTF-8
  1008: "ask", // the token has ended
  1009: "ask", // too big
  1011: "jitter", // something broke
  1012: "jitter", // restart
  1013: "jitter", // overload, or no sign of life
});

// A refusal: `code` is the stable word of the problem document (RFC 9457), `message` its words.
export class Problem extends Error {
  constructor(status, body, retryAfterMs) {
    super(body?.message ?? body?.detail ?? `HTTP ${status}`);
    this.name = "Problem";
    this.status = status;
    this.code = body?.code ?? "unexpected";
    this.body = body ?? {};
    this.retryAfterMs = retryAfterMs;
  }

  // Whether the token is of no more use: ended, used up, forged or missing.
  get tokenEnded() {
    return this.status === 401 || this.code === "not_queued";
  }
}

// Nobody answered for as long as the call was patient. With a key, a repeat tells what happened.
export class Unreachable extends Error {
  constructor(cause) {
    super("the service cannot be reached", { cause });
    this.name = "Unreachable";
    this.code = "unreachable";
    this.status = 0;
  }
}

// A version 4 UUID. crypto.randomUUID() exists only on https and localhost.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done() {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

// -- calls -----------------------------------------------------------------------------------------

// Dispatches "trouble" (detail: true while a call is being repeated for want of an answer).
export class Client extends EventTarget {
  #struggling = 0;

  constructor({ base = location.origin, patienceMs = PATIENCE_MS } = {}) {
    super();
    this.base = base;
    this.patienceMs = patienceMs;
    this.token = null;
    this.clockSkewMs = 0;
    // The server's clock less ours, to a second: for times such as expiresAt.
  }

  // One call, repeated while that is safe and there is hope. Resolves to
  // {status, data, etag, replayed, retryAfterMs}; rejects with Problem, Unreachable or an abort.
  async request(method, path, options = {}) {
    const started = performance.now();
    const patienceMs = options.patienceMs ?? this.patienceMs;
    let struggling = false;
    try {
      for (let attempt = 0; ; attempt += 1) {
        const outcome = await this.#attempt(method, path, options);
        if (!(outcome instanceof Error)) return outcome;
        const waitMs = this.#waitMs(outcome, method, options.key, attempt);
        if (waitMs === null || performance.now() - started + waitMs > patienceMs) throw outcome;
        if (!struggling) this.#struggle((struggling = true));
        await pause(waitMs, options.signal);
      }
    } finally {
      if (struggling) this.#struggle(false);
    }
  }

  // The answer, or what went wrong as a value; only an abort by the caller is thrown.
  async #attempt(method, path, { body, query, key, etag, signal, cache, token = this.token }) {
    const headers = {};
    if (token) headers["queue-token"] = token;
    if (key) headers["Idempotency-Key"] = key;
    if (etag) headers["If-None-Match"] = etag;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const limit = AbortSignal.timeout(ATTEMPT_MAX_MS);
    try {
      const response = await fetch(url, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
        credentials: "omit",
        // What may be kept is kept by the caller, by its entity tag.
        cache: cache ?? "no-store",
      });
      return await this.#answer(response);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      return new Unreachable(error);
    }
  }

  async #answer(response) {
    const date = Date.parse(response.headers.get("Date") ?? "");
    if (!Number.isNaN(date)) this.clockSkewMs = date - Date.now();
    const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    const retryAfterMs = Number.isNaN(seconds) ? null : seconds * 1000;
    const json = response.headers.get("Content-Type")?.includes("json");
    const parsed = json && response.status !== 304 ? await response.json() : null;
    if (!response.ok && response.status !== 304) {
      return new Problem(response.status, parsed, retryAfterMs);
    }
    return {
      status: response.status,
      data: parsed?.data,
      etag: response.headers.get("ETag"),
      replayed: response.headers.get("Idempotent-Replayed") === "true",
      retryAfterMs,
    };
  }

  // How long to wait before the same request again; null when it must not or need not be repeated.
  #waitMs(error, method, key, attempt) {
    if (method === "POST" && !key) return null;
    const backoffMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt);
    const spreadMs = backoffMs * (0.5 + Math.random() / 2);
    if (error instanceof Unreachable) return spreadMs;
    const passing = [408, 429, 502, 503, 504].includes(error.status);
    // Not a matter of moments: the user decides.
    if (["queue_full", "hold_cooling_down"].includes(error.code)) return null;
    if (!passing && error.code !== "idempotency_key_in_flight") return null;
    if (error.retryAfterMs === null) return spreadMs;
    return error.retryAfterMs * (1 + Math.random() / 4);
  }

  #struggle(begins) {
    this.#struggling += begins ? 1 : -1;
    this.dispatchEvent(new CustomEvent("trouble", { detail: this.#struggling > 0 }));
  }

  // The calls by name. Each POST takes a key; without one a new one is made, which still covers the
  // repeats of this very call, but not those after a reload.

  issue(userId, { key = newId(), ...options } = {}) {
    return this.request("POST", "/queue/issue", { body: { userId }, key, token: null, ...options });
  }

  status(options) {
    return this.request("GET", "/queue/status", options);
  }

  leave(options) {
    return this.request("DELETE", "/queue", options);
  }

  dates(options) {
    return this.request("GET", "/concert/available-dates", options);
  }

  seats(concertScheduleId, options) {
    const query = { concertScheduleId, all: "true" };
    return this.request("GET", "/concert/available-seats", { query, ...options });
  }

  // Of the venue of a date, kept by the browser until it changes. 404 for a date without one.
  plan(concertScheduleId, options) {
    const query = { concertScheduleId };
    return this.request("GET", "/concert/venue-plan", { query, cache: "default", ...options });
  }

  reserve(seatId, { key = newId(), ...options } = {}) {
    return this.request("POST", "/reservation", { body: { seatId }, key, ...options });
  }

  // The best seats that are left: how many, and what else POST /orders takes.
  order(concertScheduleId, wish, { key = newId(), ...options } = {}) {
    return this.request("POST", "/orders", { body: { concertScheduleId, ...wish }, key, ...options });
  }

  reservations(options) {
    return this.request("GET", "/reservations", options);
  }

  release(id, options) {
    return this.request("DELETE", `/reservation/${encodeURIComponent(id)}`, options);
  }

  charge(userId, amount, { key = newId(), ...options } = {}) {
    return this.request("POST", "/user/charge", { body: { userId, amount }, key, ...options });
  }

  balance(userId, options) {
    return this.request("GET", "/user/check", { query: { userId }, ...options });
  }

  pay(seatId, { key = newId(), ...options } = {}) {
    return this.request("POST", "/payment", { body: { seatId }, key, ...options });
  }

  payments(userId, options) {
    return this.request("GET", "/payments", { query: { userId, limit: "50" }, ...options });
  }

  // The picture of a payment's QR code, for an <img>.
  ticketUrl(userId, paymentId) {
    return new URL(`/payment/${paymentId}/ticket?userId=${userId}`, this.base).href;
  }

  // What `expiresAt` and the like mean on this machine's clock.
  localMs(moment) {
    return Date.parse(moment) - this.clockSkewMs;
  }

  // Arguments for a WebSocket. The token goes where no log keeps it.
  socketAddress(path, query = {}) {
    const url = new URL(path, this.base);
    url.protocol = url.protocol.replace("http", "ws");
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return [url, this.token ? ["booking", this.token] : ["booking"]];
  }
}

// -- sockets ---------------------------------------------------------------------------------------

// A websocket that comes back by the table of close codes.
class PushedFrames {
  #socket = null;
  #timer = null; // until the next opening, or the next doubt about the connection
  #failures = 0;
  #hello = null;
  #comeBackAfterMs = null;
  #stopped = false;

  constructor(address, { onFrame, onDown }) {
    this.address = address; // () => [url, protocols]
    this.onFrame = onFrame;
    this.onDown = onDown; // (what the close code asks for)
    this.#open();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #open() {
    this.#hello = null;
    this.#comeBackAfterMs = null;
    const socket = new WebSocket(...this.address());
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket && !this.#stopped) this.#take(data);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket === this.#socket && !this.#stopped) this.#closed(code);
    });
  }

  #take(text) {
    const frame = parsed(text);
    if (frame?.type === "hello") {
      this.#hello = frame;
      this.#failures = 0;
    }
    this.#listen();
    if (frame?.type === "reconnect") this.#comeBackAfterMs = frame.afterMs;
    if (["hello", "reconnect", "pong"].includes(frame?.type)) return;
    this.onFrame(frame);
  }

  #listen() {
    clearTimeout(this.#timer);
    if (!this.#hello?.heartbeatMs) return;
    this.#timer = setTimeout(() => this.#doubt(), QUIET_HEARTBEATS * this.#hello.heartbeatMs);
  }

  #doubt() {
    this.#socket.send('{"type":"ping"}');
    this.#timer = setTimeout(() => {
      this.#socket.close();
      this.#closed(1006); // at once: a dead connection takes its time to close
    }, PONG_MAX_MS);
  }

  #closed(code) {
    clearTimeout(this.#timer);
    this.#socket = null;
    const action = CLOSE_CODES[code] ?? "jitter";
    this.onDown(action);
    if (action === "ask") return;
    this.#timer = setTimeout(() => this.#open(), this.#pauseMs());
  }

  #pauseMs() {
    if (this.#comeBackAfterMs !== null) return this.#comeBackAfterMs;
    if (this.#hello?.reconnectJitterMs) return Math.random() * this.#hello.reconnectJitterMs;
    const doubledMs = Math.min(RECONNECT_MAX_MS, RECONNECT_FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    return doubledMs * (0.5 + Math.random() / 2);
  }
}

function parsed(text) {
  try {
    const frame = JSON.parse(text);
    return frame !== null && typeof frame === "object" ? frame : null;
  } catch {
    return null; // an unknown form: whoever listens asks by HTTP
  }
}

// What both watches share: while the socket is up, HTTP is only asked in doubt; while it is down, or
// has told nothing yet, HTTP is polled.
class Watch {
  #timer = null;
  #asking = false;
  #again = false; // asked once more while asking
  #resync = false; // the timer is for that, and no frame takes its place
  #abort = new AbortController();

  constructor(listener) {
    this.listener = listener;
    this.live = false;
    this.stopped = false;
  }

  begin(address) {
    this.frames = new PushedFrames(address, {
      onFrame: (frame) => this.#frame(frame),
      onDown: (action) => this.#down(action),
    });
    this.ask();
  }

  stop() {
    this.stopped = true;
    this.frames?.stop();
    clearTimeout(this.#timer);
    this.#abort.abort(new DOMException("stopped", "AbortError"));
  }

  // Called with every frame that could be used.
  heard() {
    if (!this.#resync) clearTimeout(this.#timer);
    this.#setLive(true);
  }

  // Types that are not known are left alone; what cannot be read at all leaves us in doubt.
  #frame(frame) {
    if (frame?.type === this.kind) this.take(frame);
    else if (frame?.type === undefined || frame.type === "ended") this.ask();
  }

  // Fetches the truth now. Asked again while it is under way, it is fetched once more.
  async ask() {
    if (this.stopped) return;
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    this.#resync = false;
    clearTimeout(this.#timer);
    let nextMs = BACKOFF_MAX_MS;
    try {
      nextMs = await this.fetch(this.#abort.signal);
    } catch (error) {
      if (this.stopped) return;
      if (error instanceof Problem && this.ends(error)) {
        this.stop();
        this.listener.onEnd(error);
        return;
      }
      if (!(error instanceof Problem || error instanceof Unreachable)) reportError(error);
      this.listener.onTrouble?.(error);
    } finally {
      this.#asking = false;
    }
    if (this.stopped) return;
    if (this.#again) {
      this.#again = false;
      this.#resync = true;
      this.#schedule(RESYNC_PAUSE_MS);
    } else if (!this.live) {
      this.#schedule(nextMs);
    }
  }

  #down(action) {
    const was = this.live;
    this.#setLive(false);
    this.lost?.();
    // At once for the truth behind a final close; otherwise spread, as everybody has lost theirs.
    if (action === "ask") this.ask();
    else if (was) this.#schedule(Math.random() * 1_000);
  }

  #setLive(live) {
    if (this.live === live) return;
    this.live = live;
    this.listener.onLink?.(live);
  }

  #schedule(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.ask(), ms);
  }
}

// -- the queue -------------------------------------------------------------------------------------

class QueueWatch extends Watch {
  kind = "queue";
  #seq = -1;

  constructor(client, listener) {
    super(listener);
    this.client = client;
    this.begin(() => client.socketAddress("/queue/ws"));
  }

  take(frame) {
    const place = frame.data;
    if (place?.status !== "pending" && place?.status !== "active") {
      this.ask();
      return;
    }
    this.heard();
    this.#seq = frame.seq ?? this.#seq;
    this.listener.onPlace(place);
  }

  async fetch(signal) {
    const seq = this.#seq;
    const { data, retryAfterMs } = await this.client.status({ signal });
    // A frame that came while the answer was on its way is the newer one.
    if (seq === this.#seq) this.listener.onPlace(data);
    return data.pollAfterMs ?? retryAfterMs ?? BACKOFF_MAX_MS;
  }

  ends(problem) {
    return problem.tokenEnded;
  }
}

// Tells where the client's token stands until stop() is called or the token ends.
// listener: onPlace(place), onEnd(problem), onLink?(live), onTrouble?(error)
export function watchQueue(client, listener) {
  return new QueueWatch(client, listener);
}

// -- seats -----------------------------------------------------------------------------------------

class SeatsWatch extends Watch {
  kind = "seats";
  #seq = null;
  #etag = null;
  #states = null; // seat number to state
  #missed = null; // changes pushed while a full list was on its way
  #early = false; // the socket had something to tell before there was a list

  constructor(client, schedule, listener) {
    super(listener);
    this.client = client;
    this.schedule = schedule;
    this.begin(() => client.socketAddress("/concert/seats/ws", { concertScheduleId: schedule }));
  }

  take({ seq, data }) {
    const changed = Array.isArray(data?.changed) ? data.changed : null;
    const gap = !data?.snapshot && this.#seq !== null && seq !== this.#seq + 1;
    this.#seq = Number.isInteger(seq) ? seq : null;
    if (changed !== null && this.#states === null) {
      // Ahead of the list, which is on its way: only that has prices.
      this.#early = true;
      for (const { seatNumber, state } of changed) this.#missed?.set(seatNumber, state);
      return;
    }
    const whole = !data?.snapshot || changed?.length === this.#states?.size;
    if (!whole || !changed?.every((one) => this.#states.has(one.seatNumber))) {
      this.ask();
      return;
    }
    this.heard();
    this.#apply(changed);
    if (gap) this.ask();
  }

  lost() {
    this.#early = false;
    this.#seq = null;
  }

  #apply(changed) {
    for (const { seatNumber, state } of changed) this.#missed?.set(seatNumber, state);
    const news = changed.filter((one) => this.#states.get(one.seatNumber) !== one.state);
    for (const { seatNumber, state } of news) this.#states.set(seatNumber, state);
    if (news.length) this.listener.onChanges(news);
  }

  async fetch(signal) {
    const missed = new Map();
    this.#missed = missed;
    try {
      const answer = await this.client.seats(this.schedule, { signal, etag: this.#etag });
      this.#missed = null; // what comes from here on is newer than the answer
      if (answer.status !== 304) this.#compare(answer.data, missed);
      // A list that pushes have overtaken is not what we show: its tag must not stand for that.
      this.#etag = missed.size ? null : answer.etag;
      if (this.#early) this.heard();
      this.#early = false;
    } finally {
      this.#missed = null;
    }
    return this.#states.size > LARGE_SEATS ? SEAT_POLL_LARGE_MS : SEAT_POLL_MS;
  }

  #compare(seats, missed) {
    for (const seat of seats) seat.state = missed.get(seat.seatNumber) ?? seat.state;
    const same = this.#states?.size === seats.length
      && seats.every((seat) => this.#states.has(seat.seatNumber));
    if (same) {
      this.#apply(seats.map(({ seatNumber, state }) => ({ seatNumber, state })));
      return;
    }
    this.#states = new Map(seats.map((seat) => [seat.seatNumber, seat.state]));
    this.listener.onSeats(seats);
  }

  // Pushed changes make the kept list stale.
  heard() {
    super.heard();
    this.#etag = null;
  }

  ends(problem) {
    return problem.tokenEnded || [403, 404].includes(problem.status);
  }
}

// Tells the seats of a date, then what changes, until stop() is called or the token ends.
// listener: onSeats(seats), onChanges([{seatNumber, state}]), onEnd(problem), onLink?, onTrouble?
export function watchSeats(client, schedule, listener) {
  return new SeatsWatch(client, schedule, listener);
}
