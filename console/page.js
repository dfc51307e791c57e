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

function showRegions(availability) {
  const names = (availability?.serverless_v1_providers ?? []).flatMap((provider) => provider.regions.map((item) => item.region));
  const items = names.map((name) => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  });
  document.getElementById("regions").replaceChildren(...items);
  document.getElementById("regions-row").hidden = items.length === 0;
}

async function refresh() {
  const [health, ready] = await Promise.all([ask("/healthz"), ask("/readyz")]);
  show("api", health.ok ? "running" : "not answering", health.ok ? "good" : "bad");
  if (health.body) show("version", health.body.version);
  const database = ready.body ? (ready.ok ? "reachable" : "not reachable") : "unknown";
  show("database", database, ready.ok ? "good" : "bad");
  const now = new Date();
  const checked = document.getElementById("checked");
  checked.dateTime = now.toISOString();
  checked.textContent = now.toLocaleTimeString();
}

ask("/v2/cloud-gateways/availability.json").then(({ body }) => showRegions(body));
refresh();
setInterval(refresh, EVERY_MS);
