// Shows /openapi.json and lets each call be tried. Text only ever goes into the page as text.

const METHODS = ["get", "post", "put", "patch", "delete"];
const credentials = document.querySelector("#credentials");

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolve(spec, node) {
  if (!node || !node.$ref) return node;
  const found = node.$ref.slice(2).split("/").reduce((at, key) => at[key], spec);
  return resolve(spec, found);
}

// An example value of a schema: something the user can edit.
function example(spec, schema, name) {
  schema = resolve(spec, schema);
  if (name === "userId") return credentials.elements.user.value;
  if (schema.examples) return schema.examples[0];
  if (schema.type === "object") {
    const wanted = Object.entries(schema.properties ?? {});
    return Object.fromEntries(wanted.map(([key, value]) => [key, example(spec, value, key)]));
  }
  if (schema.type === "integer") return schema.minimum ?? 0;
  return "";
}

function bodyExample(spec, schema) {
  const resolved = resolve(spec, schema);
  const full = example(spec, schema, "");
  const needed = resolved.required ?? [];
  const names = needed.length ? needed : Object.keys(full).slice(0, 1);
  return JSON.stringify(Object.fromEntries(names.map((name) => [name, full[name]])), null, 2);
}

function parametersTable(spec, parameters) {
  const rows = parameters.map((parameter) =>
    element("tr", {},
      element("td", {}, element("code", { textContent: parameter.name })),
      element("td", { textContent: parameter.in + (parameter.required ? ", needed" : "") }),
      element("td", { textContent: parameter.description ?? "" })));
  return element("table", {}, element("tbody", {}, ...rows));
}

function responsesTable(spec, responses) {
  const rows = Object.entries(responses).map(([status, response]) =>
    element("tr", {},
      element("td", {}, element("code", { textContent: status })),
      element("td", { textContent: resolve(spec, response).description })));
  return element("table", {}, element("tbody", {}, ...rows));
}

function schemaBlock(spec, schema) {
  const shown = JSON.stringify(resolve(spec, schema), null, 2);
  return element("details", {}, element("summary", { textContent: "Schema" }),
    element("div", {}, element("pre", { textContent: shown })));
}

function field(parameter) {
  const known = { userId: credentials.elements.user.value };
  const input = element("input", { name: parameter.name, value: known[parameter.name] ?? "" });
  input.dataset.where = parameter.in;
  input.spellcheck = false;
  return element("label", {}, parameter.name, input);
}

function request(method, path, form, secured) {
  const headers = {};
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input")) {
    if (!input.value) continue;
    if (input.dataset.where === "query") query.set(input.name, input.value);
    else if (input.dataset.where === "header") headers[input.name] = input.value;
    else path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
  }
  if (secured && credentials.elements.token.value) {
    headers["queue-token"] = credentials.elements.token.value;
  }
  const body = form.elements.body?.value;
  if (body) headers["Content-Type"] = "application/json";
  const target = query.size ? `${path}?${query}` : path;
  return [target, { method: method.toUpperCase(), headers, body: body || undefined }];
}

async function send(target, options, output) {
  const started = performance.now();
  const response = await fetch(target, options);
  const text = await response.text();
  const took = (performance.now() - started).toFixed(1);
  let shown = text;
  try {
    const parsed = JSON.parse(text);
    shown = JSON.stringify(parsed, null, 2);
    if (parsed.data?.token) credentials.elements.token.value = parsed.data.token;
  } catch {
    // Not JSON: shown as it came.
  }
  const names = ["location", "retry-after", "etag", "idempotent-replayed", "x-request-id"];
  const headers = names.filter((name) => response.headers.has(name))
    .map((name) => `${name}: ${response.headers.get(name)}`).join("\n");
  output.replaceChildren(
    element("p", { className: response.ok ? "good" : "bad",
      textContent: `${response.status} ${response.statusText} in ${took} ms` }),
    element("pre", { textContent: `${options.method} ${target}\n\n${headers}\n\n${shown}` }));
}

function tryOut(spec, method, path, operation, parameters) {
  const form = element("form", {}, ...parameters.map(field));
  const schema = operation.requestBody?.content["application/json"].schema;
  if (schema) {
    const area = element("textarea", { name: "body", value: bodyExample(spec, schema) });
    area.spellcheck = false;
    form.append(element("label", {}, "body", area));
  }
  const output = element("output");
  form.append(element("button", { textContent: "Send" }), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [target, options] = request(method, path, form, operation.security !== undefined);
    send(target, options, output).catch((error) =>
      output.replaceChildren(element("p", { className: "bad", textContent: String(error) })));
  });
  return form;
}

function call(spec, method, path, operation) {
  const parameters = (operation.parameters ?? []).map((one) => resolve(spec, one));
  const schema = operation.requestBody?.content["application/json"].schema;
  const inside = element("div", {},
    parametersTable(spec, parameters),
    ...(schema ? [schemaBlock(spec, schema)] : []),
    element("h4", { textContent: "Answers" }),
    responsesTable(spec, operation.responses),
    element("h4", { textContent: "Try it" }),
    tryOut(spec, method, path, operation, parameters));
  return element("details", { id: operation.operationId },
    element("summary", {},
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("span", { className: "path", textContent: path }),
      operation.summary ?? ""),
    inside);
}

function show(spec) {
  const calls = document.querySelector("#calls");
  const contents = element("ul");
  calls.replaceChildren();
  for (const tag of spec.tags) {
    calls.append(element("h2", { textContent: tag.name }), element("p", { textContent: tag.description }));
    for (const [path, operations] of Object.entries(spec.paths)) {
      for (const method of METHODS) {
        const operation = operations[method];
        if (!operation?.tags.includes(tag.name)) continue;
        calls.append(call(spec, method, path, operation));
        const link = element("a", { href: `#${operation.operationId}`,
          textContent: `${method.toUpperCase()} ${path}` });
        contents.append(element("li", {}, link));
      }
    }
  }
  document.querySelector("#contents").replaceChildren(contents);
}

function showProblems(spec) {
  const rows = spec["x-problems"].map((problem) =>
    element("tr", { id: problem.code },
      element("td", {}, element("code", { textContent: problem.code })),
      element("td", { textContent: problem.status }),
      element("td", { textContent: problem.title })));
  document.querySelector("#problems tbody").replaceChildren(...rows);
}

// The target of the address, opened: its element exists only after the document was read.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

function fillUsers() {
  for (const input of document.querySelectorAll("#calls input[name=userId]")) {
    input.value = credentials.elements.user.value;
  }
  for (const area of document.querySelectorAll("#calls textarea")) {
    area.value = area.value.replace(/("userId": ")[^"]*/, `$1${credentials.elements.user.value}`);
  }
}

// crypto.randomUUID() exists only on https and localhost.
function newUser() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

async function start() {
  credentials.addEventListener("submit", (event) => event.preventDefault());
  credentials.elements.user.value = newUser();
  credentials.elements.user.addEventListener("input", fillUsers);
  document.querySelector("#new-user").addEventListener("click", () => {
    credentials.elements.user.value = newUser();
    credentials.elements.token.value = "";
    fillUsers();
  });
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`/openapi.json answered ${response.status}`);
  const spec = await response.json();
  show(spec);
  showProblems(spec);
  document.querySelector("#about").replaceChildren(
    `${spec.info.summary} Version ${spec.info.version}. `,
    element("a", { href: "/openapi.json", textContent: "/openapi.json" }));
  window.addEventListener("hashchange", openTarget);
  if (location.hash) openTarget();
}

start().catch((error) => {
  document.querySelector("#about").textContent = String(error);
});
