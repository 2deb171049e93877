// The whole booking, by as many fans a second as you like, with k6 (grafana.com/docs/k6):
//
//     k6 run clients/k6/booking.js
//     k6 run -e BASE=http://127.0.0.1:8080 -e RATE=50 -e SECONDS=60 clients/k6/booking.js
//
// An arrival-rate executor begins each fan by the clock, whether or not the earlier ones have been
// answered: a slow service gets no rest. The thresholds are docs/reference/service-levels.md; when
// one is crossed, k6 ends with 99. Seats run out (the demo season has 50 for each date), and a fan
// who finds none has not failed: sold_out counts them.
import http from "k6/http";
import { check, sleep } from "k6";
import { Counter } from "k6/metrics";

const BASE = __ENV.BASE || "http://127.0.0.1:8080";
const RATE = Number(__ENV.RATE || 10);
const SECONDS = Number(__ENV.SECONDS || 30);
const TRIES_MAX = 5; // seats that others were faster at, before a fan gives up

const booked = new Counter("booked");
const soldOut = new Counter("sold_out");

export const options = {
  discardResponseBodies: false,
  scenarios: {
    fans: {
      executor: "constant-arrival-rate",
      rate: RATE,
      timeUnit: "1s",
      duration: `${SECONDS}s`,
      preAllocatedVUs: Math.max(10, RATE * 2),
      maxVUs: Math.max(50, RATE * 10),
    },
  },
  thresholds: {
    "http_req_duration{kind:read}": ["p(99)<25"],
    "http_req_duration{kind:write}": ["p(99)<50"],
    "http_req_failed{kind:read}": ["rate<0.0001"],
    "http_req_failed{kind:write}": ["rate<0.0001"],
    checks: ["rate>0.9999"],
    dropped_iterations: ["count<1"],
  },
};

// A refusal that the rules demand is a right answer.
const RIGHT = http.expectedStatuses(200, 201, 204, 403, 404, 409);

function uuid() {
  const hex = [...Array(32)].map(() => Math.floor(Math.random() * 16).toString(16));
  hex[12] = "4";
  hex[16] = "8";
  const text = hex.join("");
  return [0, 8, 12, 16, 20].map((at, i, all) => text.slice(at, all[i + 1])).join("-");
}

function get(path, token) {
  return http.get(`${BASE}${path}`, {
    headers: { "queue-token": token },
    tags: { name: path.split("?")[0], kind: "read" },
    responseCallback: RIGHT,
  });
}

function post(path, body, token) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": uuid() };
  if (token) headers["queue-token"] = token;
  return http.post(`${BASE}${path}`, JSON.stringify(body), {
    headers,
    tags: { name: path, kind: "write" },
    responseCallback: RIGHT,
  });
}

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function admitted(user) {
  const issued = post("/queue/issue", { userId: user });
  if (!check(issued, { "lined up": (r) => r.status === 201 })) return null;
  let place = issued.json("data");
  while (place.status !== "active") {
    sleep(place.pollAfterMs / 1000);
    const status = get("/queue/status", place.token);
    if (!check(status, { "still in line": (r) => r.status === 200 })) return null;
    place = status.json("data");
  }
  return place.token;
}

function held(token) {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const dates = get("/concert/available-dates", token);
    if (!check(dates, { "dates listed": (r) => r.status === 200 })) return null;
    const open = dates.json("data").filter((date) => date.reservedSeats < date.totalSeats);
    if (open.length === 0) return null;
    const date = pick(open);
    const seats = get(`/concert/available-seats?concertScheduleId=${date.id}`, token);
    if (!check(seats, { "seats listed": (r) => r.status === 200 })) return null;
    // As a page does that draws the hall; it needs no token.
    const plan = get(`/concert/venue-plan?concertScheduleId=${date.id}`, token);
    if (!check(plan, { "plan drawn": (r) => [200, 404].includes(r.status) })) return null;
    const free = seats.json("data");
    if (free.length === 0) continue;
    const reply = post("/reservation", { seatId: pick(free).id }, token);
    if (reply.status === 201) return reply.json("data");
    if (!check(reply, { "taken by somebody faster": (r) => r.status === 409 })) return null;
  }
  return null;
}

export default function () {
  const user = uuid();
  const token = admitted(user);
  if (token === null) return;
  const seat = held(token);
  if (seat === null) {
    soldOut.add(1);
    return;
  }
  const charged = post("/user/charge", { userId: user, amount: seat.price });
  check(charged, { charged: (r) => r.status === 200 });
  const paid = post("/payment", { seatId: seat.seat.id }, token);
  if (check(paid, { paid: (r) => r.status === 201 && r.json("data.status") === "COMPLETED" })) {
    booked.add(1);
  }
}

export function handleSummary(data) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const broken = Object.entries(data.metrics)
    .filter(([, m]) => Object.values(m.thresholds || {}).some((t) => !t.ok))
    .map(([name]) => name);
  const lines = [
    `booked ${count("booked")}, sold out for ${count("sold_out")}, requests ${count("http_reqs")}`,
    `broken thresholds: ${broken.join(", ") || "none"}`,
    "",
  ];
  return { stdout: lines.join("\n"), ...(__ENV.SUMMARY ? { [__ENV.SUMMARY]: JSON.stringify(data) } : {}) };
}
