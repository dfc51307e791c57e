// The little of a browser's document that openapi/page.js uses. Runs the page on the documents of a folder, opens everything,
// and prints what became of it as JSON: the text of each operation, and its command.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

const [folder, hash] = process.argv.slice(2);

class Element {
  constructor(name) {
    Object.assign(this, { name, children: [], attributes: {}, dataset: {}, listeners: {}, parts: [], hidden: false, value: "", opened: false });
  }
  setAttribute(key, value) {
    this.attributes[key] = value;
    if (key.startsWith("data-")) this.dataset[key.slice(5)] = value;
    if (key === "id") known[value] = this;
  }
  removeAttribute(key) { delete this.attributes[key]; }
  addEventListener(name, action) { this.listeners[name] = action; }
  append(...parts) {
    this.parts.push(...parts);
    this.children.push(...parts.filter((part) => part instanceof Element));
  }
  replaceChildren(...parts) { this.parts = []; this.children = []; this.append(...parts); }
  hasChildNodes() { return this.parts.length > 0; }
  set open(value) { this.opened = value; this.listeners.toggle?.(); }
  get open() { return this.opened; }
  set textContent(value) { this.parts = [String(value)]; this.children = []; }
  get textContent() { return this.parts.map((part) => (part instanceof Element ? part.textContent : String(part))).join(""); }
  set innerHTML(_) { throw new Error("markup from a document"); }
  scrollIntoView() { this.scrolled = true; }
}

const known = {};
for (const id of ["documents", "filter", "count", "source", "operations"]) known[id] = new Element(id);

function openAll(element, depth = 0) {
  if (depth > 40) throw new Error("nested without end");
  if (element.name === "details" && !element.open) element.open = true;
  for (const child of element.children) openAll(child, depth + 1);
}

function find(element, wanted) {
  return element.attributes.class === wanted ? element : element.children.map((child) => find(child, wanted)).find(Boolean);
}

const files = { "index.json": { documents: ["identity", "control-planes", "cloud-gateways", "serverless-cloud-gateways", "core-entities"].map((name) => ({ name, title: `Sluice: ${name}`, url: `/openapi/${name}.json`, operations: 1 })) } };

const context = vm.createContext({
  document: { createElement: (name) => new Element(name), getElementById: (id) => known[id], title: "" },
  location: { hash },
  fetch: async (path) => {
    const name = path.replace("/openapi/", "");
    return { ok: true, json: async () => files[name] ?? JSON.parse(readFileSync(join(folder, name), "utf8")) };
  },
  addEventListener: () => undefined,
  decodeURIComponent, setTimeout, console,
});
vm.runInContext(readFileSync(join(folder, "page.js"), "utf8"), context);
await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));

const result = { count: known.count.textContent, title: context.document.title, operations: {} };
for (const element of known.operations.children) {
  openAll(element);
  result.operations[element.attributes.id] = { text: element.textContent, command: find(element, "command").children[0].textContent, scrolled: element.scrolled ?? false };
}
known.filter.value = "post  SERVICE";
known.filter.listeners.input();
result.filtered = known.count.textContent;
process.stdout.write(JSON.stringify(result));
