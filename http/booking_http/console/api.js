// Calls of /admin. The token is in this module's memory and nowhere else.

const TIMEOUT_MS = 15000;
let token = "";
let user = "";

export function unlock(newToken, newUser) {
  token = newToken;
  user = newUser;
}

export function lock() {
  token = "";
}

// What the service refused, or that it did not answer (status 0).
export class Refused extends Error {
  constructor(words, status = 0, code = "", errors = []) {
    super(words);
    this.status = status;
    this.code = code;
    this.errors = errors;
  }
}

export async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (user) headers["X-Admin-User"] = user;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new Refused(error.name === "TimeoutError" ? "No answer in time." : "No answer.");
  }
  return outcome(answer);
}

async function outcome(answer) {
  let document;
  try {
    document = await answer.json();
  } catch {
    throw new Refused(`Answered ${answer.status} without JSON.`, answer.status);
  }
  if (answer.ok) return document.data;
  throw new Refused(document.detail ?? "Refused.", answer.status, document.code, document.errors);
}

export const part = encodeURIComponent;
