// Fills the page with what the API says about itself, and keeps it current.
const EVERY_MS = 5000;

function show(id, text, state) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
  if (state) element.dataset.state = state;
}

async function ask(path) {
  try {
    const response = await fetch(path, { cache: "no-store" });
    return { ok: response.ok, body: await response.json() };
  } catch {
    return { ok: false, body: null };
  }
}

function showRegions(regions) {
  if (!Array.isArray(regions) || regions.length === 0) return;
  const items = regions.map((name) => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  });
  document.getElementById("regions").replaceChildren(...items);
  document.getElementById("regions-row").hidden = false;
}

async function refresh() {
  const [health, ready] = await Promise.all([ask("/healthz"), ask("/readyz")]);
  show("api", health.ok ? "running" : "not answering", health.ok ? "good" : "bad");
  if (health.body) {
    show("version", health.body.version);
    showRegions(health.body.regions);
  }
  const database = ready.body ? (ready.ok ? "reachable" : "not reachable") : "unknown";
  show("database", database, ready.ok ? "good" : "bad");
  const now = new Date();
  const checked = document.getElementById("checked");
  checked.dateTime = now.toISOString();
  checked.textContent = now.toLocaleTimeString();
}

refresh();
setInterval(refresh, EVERY_MS);
