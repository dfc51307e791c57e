// Lists the operations of one OpenAPI document: parameters, schemas, examples, and a curl command for each.
// Text from documents is only ever set as text, never as markup.
const DEEPEST = 6;

/** An element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);

async function load(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

/** What a reference stands for. */
function resolve(whole, value) {
  while (value && value.$ref) value = value.$ref.slice(2).split("/").reduce((part, key) => part[key], whole);
  return value ?? {};
}

function choicesOf(whole, schema) {
  const own = resolve(whole, schema);
  const choices = [...(own.anyOf ?? []), ...(own.oneOf ?? [])];
  return choices.length ? choices.flatMap((choice) => choicesOf(whole, choice)) : [own];
}

function kindOf(whole, schema) {
  const kinds = choicesOf(whole, schema).map((choice) => {
    if (choice.enum) return choice.enum.map((value) => JSON.stringify(value)).join(" | ");
    if (choice.const !== undefined) return JSON.stringify(choice.const);
    if (choice.type === "array") return `array of ${choice.items ? kindOf(whole, choice.items) : "anything"}`;
    const kind = [choice.type ?? "anything"].flat().join(" | ");
    return choice.format ? `${kind} (${choice.format})` : kind;
  });
  return [...new Set(kinds)].join(" | ");
}

const RULES = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"];

function rulesOf(whole, schema) {
  const own = resolve(whole, schema);
  const parts = choicesOf(whole, schema).flatMap((choice) => RULES.filter((rule) => rule in choice).map((rule) => `${rule} ${choice[rule]}`));
  if (own.default !== undefined && own.default !== null) parts.unshift(`default ${JSON.stringify(own.default)}`);
  if (own.readOnly) parts.unshift("read only");
  if (own.writeOnly) parts.unshift("write only");
  return parts.join(", ");
}

/** The schema of what has fields: an object's own, or that of a list's items. */
function recordOf(whole, schema) {
  for (const choice of choicesOf(whole, schema)) {
    if (choice.properties) return choice;
    const below = choice.type === "array" && choice.items ? recordOf(whole, choice.items) : null;
    if (below) return below;
  }
  return null;
}

function line(whole, name, schema, needed, description) {
  const rules = rulesOf(whole, schema);
  return [
    make("code", {}, name), " ",
    make("span", { class: "kind" }, kindOf(whole, schema), rules ? `, ${rules}` : ""),
    needed ? make("span", { class: "needed" }, " required") : null,
    description ? ` ${description}` : null,
  ];
}

function fields(whole, schema, depth = 0) {
  const record = recordOf(whole, schema);
  if (!record || depth > DEEPEST) return [make("p", { class: "kind field" }, kindOf(whole, schema))];
  const needed = new Set(record.required ?? []);
  return Object.entries(record.properties).map(([name, part]) => {
    const parts = line(whole, name, part, needed.has(name), part.description ?? resolve(whole, part).description);
    if (!recordOf(whole, part)) return make("div", { class: "field" }, ...parts);
    return folded(make("summary", {}, ...parts), () => fields(whole, part, depth + 1));
  });
}

/** A part that is made when it is first opened: documents have hundreds of operations. */
function folded(summary, contents, attributes = {}) {
  const place = make("div");
  const element = make("details", attributes, summary, place);
  element.addEventListener("toggle", () => { if (element.open && !place.hasChildNodes()) place.append(...contents()); });
  return element;
}

function exampleOf(whole, mediaType) {
  if (mediaType.example !== undefined) return mediaType.example;
  const first = Object.values(mediaType.examples ?? {})[0];
  return first === undefined ? undefined : resolve(whole, first).value;
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function bodyOf(whole, content, heading) {
  return Object.entries(groupBySchema(content)).flatMap(([, { kinds, mediaType }]) => {
    const example = exampleOf(whole, mediaType);
    return [
      make("h3", {}, `${heading}: ${kinds.join(", ")}`),
      folded(make("summary", {}, "Fields"), () => fields(whole, mediaType.schema)),
      example === undefined ? null : make("pre", { tabindex: "0", "aria-label": "Example" }, make("code", {}, asText(example))),
    ].filter(Boolean);
  });
}

/** Media types of one schema are shown once. */
function groupBySchema(content) {
  const groups = {};
  for (const [kind, mediaType] of Object.entries(content ?? {})) {
    const key = JSON.stringify(mediaType.schema);
    groups[key] ??= { kinds: [], mediaType };
    groups[key].kinds.push(kind);
  }
  return groups;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The operation as a command for the shell. Variables of the path become those of the shell, to be set before. */
function curl(whole, method, path, operation) {
  const target = path.replace(/\{([^}]+)\}/g, (_, name) => `$${name.replace(/[^A-Za-z0-9_]/g, "_")}`);
  const parts = ["curl"];
  if (method !== "get") parts.push(`-X ${method.toUpperCase()}`);
  parts.push(`"$SLUICE_API${target}"`);
  if ((operation.security ?? []).length) parts.push(`\\\n  -H "Authorization: Bearer $SLUICE_PAT"`);
  const content = operation.requestBody?.content ?? {};
  const kind = "application/json" in content ? "application/json" : Object.keys(content)[0];
  if (kind) {
    const example = exampleOf(whole, content[kind]);
    const text = typeof example === "string" ? example : JSON.stringify(example ?? {});
    parts.push(`\\\n  -H ${quoted(`Content-Type: ${kind}`)}`, `\\\n  --data-binary ${quoted(text)}`);
  }
  return parts.join(" ");
}

function command(text) {
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Only pages from this machine or over HTTPS may write to the clipboard: have it ready for the keyboard.
      getSelection().selectAllChildren(button.previousSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return make("div", { class: "command" }, make("pre", { tabindex: "0", "aria-label": "Command" }, make("code", {}, text)), button);
}

function parametersOf(whole, operation) {
  const found = operation.parameters ?? [];
  if (!found.length) return [];
  const rows = found.map((item) => make("div", { class: "field" }, ...line(whole, item.name, item.schema, item.required, item.description), make("span", { class: "kind" }, ` (${item.in})`)));
  return [make("h3", {}, "Parameters"), ...rows];
}

function contentsOf(whole, method, path, operation) {
  const answers = Object.entries(operation.responses).flatMap(([status, answer]) => {
    const described = make("div", { class: "field" }, make("code", {}, status), ` ${answer.description}`);
    return answer.content ? [folded(make("summary", {}, make("code", {}, status), ` ${answer.description}`), () => bodyOf(whole, answer.content, "Body"))] : [described];
  });
  return [
    make("p", {}, operation.description ?? ""),
    make("p", { class: "faint" }, make("code", {}, operation.operationId), (operation.security ?? []).length ? "" : " · needs no token"),
    command(curl(whole, method, path, operation)),
    ...parametersOf(whole, operation),
    ...(operation.requestBody ? bodyOf(whole, operation.requestBody.content, "Request") : []),
    make("h3", {}, "Answers"),
    ...answers,
  ];
}

function operationsOf(whole) {
  return Object.entries(whole.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => {
    const summary = make("summary", {},
      make("span", { class: "method", "data-method": method }, method.toUpperCase()),
      make("span", { class: "path" }, path),
      make("span", { class: "summary" }, operation.summary ?? ""));
    const element = folded(summary, () => contentsOf(whole, method, path, operation), { id: operation.operationId });
    const words = `${method} ${path} ${operation.operationId} ${operation.summary} ${operation.description}`.toLowerCase();
    return { element, words };
  }));
}

let shown = [];

function filter() {
  const wanted = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { element, words } of shown) {
    element.hidden = !wanted.every((word) => words.includes(word));
    count += element.hidden ? 0 : 1;
  }
  byId("count").textContent = `${count} of ${shown.length} operations`;
}

/** The address of a place: `#document` or `#document/operation`. */
function place() {
  const [name, operation] = decodeURIComponent(location.hash.slice(1)).split("/");
  return { name, operation };
}

async function show(index) {
  const { name, operation } = place();
  const entry = index.documents.find((item) => item.name === name) ?? index.documents[0];
  for (const link of byId("documents").children) {
    if (link.dataset.name === entry.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const whole = await load(entry.url);
  byId("source").href = entry.url;
  document.title = whole.info.title;
  shown = operationsOf(whole);
  byId("operations").replaceChildren(...shown.map(({ element }) => element));
  filter();
  const wanted = operation && byId(operation);
  if (wanted) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

function fail(error) {
  byId("count").textContent = `cannot be shown: ${error.message}`;
}

async function start() {
  const index = await load("/openapi/index.json");
  byId("documents").append(...index.documents.map((item) => make("a", { href: `#${item.name}`, "data-name": item.name }, `${item.title.replace("Sluice: ", "")} (${item.operations})`)));
  byId("filter").addEventListener("input", filter);
  addEventListener("hashchange", () => show(index).catch(fail));
  await show(index);
}

start().catch(fail);
