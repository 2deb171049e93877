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
const QUIET_MAX_MS = 30_000;
// A socket can be dead without the browser knowing: after this long without a frame, ask by HTTP.
const JITTER_DEFAULT_MS = 5_000;
// For a restart that comes before the hello, which names the server's own.
const RESYNC_PAUSE_MS = 500;
// Doubts about a seat map are settled by HTTP at most this often.
const SEAT_POLL_MS = 1_500;
const SEAT_POLL_LARGE_MS = 4_000;
const LARGE_SEATS = 1_000;
// The list of 10,000 seats is about 1 MB each time that one of them has changed.

// What a websocket's close code asks of the client. "ask": do not open it again, and learn by HTTP
// what is the matter; "jitter": come back after a random part of the server's jitter; "backoff":
// come back after a pause that doubles. Codes that are not here mean "backoff".
export const CLOSE_CODES = Object.freeze({
  1000: "ask", // done
  1001: "backoff", // going away
  1003: "ask", // unsupported data
  1006: "backoff", // lost without a word
  1007: "ask", // broken data
  1008: "ask", // bad or ended token
  1009: "ask", // too big
  1010: "ask", // missing extension
  1011: "backoff", // internal error
  1012: "jitter", // restart
  1013: "jitter", // overload
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
  async #attempt(method, path, { body, query, key, etag, signal, token = this.token }) {
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
        cache: "no-store",
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
    if (error.code === "queue_full") return null; // not a matter of seconds: the user decides
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

  reserve(seatId, { key = newId(), ...options } = {}) {
    return this.request("POST", "/reservation", { body: { seatId }, key, ...options });
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

  // What `expiresAt` and the like mean on this machine's clock.
  localMs(moment) {
    return Date.parse(moment) - this.clockSkewMs;
  }

  socketUrl(path, query) {
    const url = new URL(path, this.base);
    url.protocol = url.protocol.replace("http", "ws");
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  }
}

// -- sockets ---------------------------------------------------------------------------------------

// A websocket that comes back by the table of close codes. It sends nothing.
class PushedFrames {
  #socket = null;
  #timer = null;
  #failures = 0;
  #jitterMs = JITTER_DEFAULT_MS;
  #stopped = false;

  constructor(url, { onFrame, onDown }) {
    this.url = url;
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
    const socket = new WebSocket(this.url());
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#take(data));
    socket.addEventListener("close", ({ code }) => this.#closed(code));
  }

  #take(text) {
    if (this.#stopped) return;
    const frame = parsed(text);
    if (frame?.type === "hello") {
      this.#failures = 0;
      if (Number.isFinite(frame.reconnectJitterMs)) this.#jitterMs = frame.reconnectJitterMs;
      return;
    }
    if (frame) this.#failures = 0;
    this.onFrame(frame);
  }

  #closed(code) {
    if (this.#stopped) return;
    const action = CLOSE_CODES[code] ?? "backoff";
    this.onDown(action);
    if (action === "ask") return;
    const doubledMs = Math.min(RECONNECT_MAX_MS, RECONNECT_FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    const waitMs = action === "jitter"
      ? Math.random() * this.#jitterMs
      : doubledMs * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#open(), waitMs);
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

// What both watches share: while the socket is up, HTTP is only asked after a long silence or in
// doubt; while it is down, HTTP is polled.
class Watch {
  #timer = null;
  #asking = false;
  #again = false;
  #abort = new AbortController();

  constructor(listener) {
    this.listener = listener;
    this.live = false;
    this.stopped = false;
  }

  begin(url) {
    this.frames = new PushedFrames(url, {
      onFrame: (frame) => this.take(frame),
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
    this.#setLive(true);
    this.#schedule(QUIET_MAX_MS);
  }

  // Fetches the truth now. Asked again while it is under way, it is fetched once more.
  async ask() {
    if (this.stopped) return;
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
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
      this.listener.onTrouble?.(error);
    } finally {
      this.#asking = false;
    }
    if (this.stopped) return;
    if (this.#again) {
      this.#again = false;
      this.#schedule(RESYNC_PAUSE_MS);
    } else {
      this.#schedule(this.live ? QUIET_MAX_MS : nextMs);
    }
  }

  #down(action) {
    const was = this.live;
    this.#setLive(false);
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
  #seq = -1;

  constructor(client, listener) {
    super(listener);
    this.client = client;
    const token = client.token;
    this.begin(() => client.socketUrl("/queue/ws", { token }));
  }

  take(frame) {
    const place = frame?.type === "queue" ? frame.data : null;
    if (!place || (place.status !== "pending" && place.status !== "active")) {
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
  #seq = null;
  #etag = null;
  #states = null; // seat number to state
  #missed = null; // changes pushed while a full list was on its way

  constructor(client, schedule, listener) {
    super(listener);
    this.client = client;
    this.schedule = schedule;
    const query = { concertScheduleId: schedule, token: client.token };
    this.begin(() => client.socketUrl("/concert/seats/ws", query));
  }

  take(frame) {
    const data = frame?.type === "seats" ? frame.data : null;
    const full = Array.isArray(data?.seats) ? data.seats : null;
    const changed = full ?? (Array.isArray(data?.changed) ? data.changed : null);
    const gap = !full && this.#seq !== null && frame?.seq !== this.#seq + 1;
    const known = changed?.every((one) => this.#states === null || this.#states.has(one.seatNumber));
    this.#seq = Number.isInteger(frame?.seq) ? frame.seq : null;
    if (changed === null || !known) {
      this.ask();
      return;
    }
    this.heard();
    this.#apply(changed);
    if (gap || this.#states === null) this.ask();
  }

  #apply(changed) {
    for (const { seatNumber, state } of changed) this.#missed?.set(seatNumber, state);
    if (this.#states === null) return;
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
