/** The sandbox's page: what the shop sent to its providers, live, and what goes wrong there. */

import { Announcer } from "./announcer.js";
import { el, replaceContent } from "./dom.js";
import { KINDS } from "./entries.js";
import { Feed } from "./feed.js";
import { Stream } from "./stream.js";
import { Switches } from "./switches.js";

const PROBLEM_MS = 10000;
const RETRY_MS = 2000;
const WIDE = "(min-width: 64rem)";
const node = (id) => document.getElementById(id);
const announcer = new Announcer(node("said"));
const orders = new Set();
let shopUrl = null;
let loaded = false;
let loadTimer = 0;
let problemTimer = 0;

const feed = new Feed({ list: node("feed"), more: node("more") }, {
  arrived: (entry) => {
    announcer.count(entry.kind);
    suggest(entry);
  },
  said: (sentence) => announcer.say(sentence),
  failed,
  filter: (order) => go({ ...feed.filter, order }),
  changed: showEmpty,
});
const switches = new Switches(
  { providers: node("providers"), summary: node("faults-summary"), clearAll: node("clear-all") },
  { said: (sentence) => announcer.say(sentence), failed },
);
const stream = new Stream({
  entry: (entry) => feed.take(entry),
  switches: (state) => switches.show(state),
  reset: load,
  state: showConnection,
});

/** Read the list, and listen from there on; tried again until the sandbox answers. */
async function load() {
  clearTimeout(loadTimer);
  try {
    const answer = await feed.load();
    if (answer === null) return;
    shopUrl = answer.shop_url;
    loaded = true;
    answer.entries.forEach(suggest);
    showEmpty();
    stream.start(answer.position);
  } catch (failure) {
    showConnection("lost");
    failed(failure);
    clearTimeout(loadTimer);
    loadTimer = setTimeout(load, RETRY_MS);
  }
}

function suggest(entry) {
  for (const order of entry.orders) {
    if (orders.has(order) || orders.size >= 50) continue;
    orders.add(order);
    node("orders").append(el("option", { value: order }));
  }
}

function showConnection(state) {
  const connection = node("connection");
  if (connection.dataset.state === state) return;
  const wasLost = connection.dataset.state === "lost";
  connection.dataset.state = state;
  node("connection-text").textContent = state === "live" ? "Live" : "Reconnecting…";
  if (state === "lost") announcer.say("The connection to the sandbox is lost.");
  if (state === "live") {
    node("problem").hidden = true;
    if (wasLost) announcer.say("The sandbox is connected again.");
  }
}

function showEmpty() {
  const empty = node("empty");
  const { kind, order } = feed.filter;
  const entries = [...feed.rows.values()].map((row) => row.entry);
  // A new shop's catalogue causes webhooks before anybody has bought something.
  const isQuiet = !kind && !order && entries.every((entry) => entry.kind === "webhook" && entry.orders.length === 0);
  empty.hidden = !loaded || (entries.length > 0 && !isQuiet);
  node("feed").hidden = entries.length === 0;
  if (empty.hidden) return;
  const content = kind || order
    ? [
        el("p", {}, "Nothing matches this filter yet."),
        el("p", {}, el("button", {
          type: "button",
          class: "button",
          "data-focus": "everything",
          on: { click: () => go({ kind: "", order: "" }) },
        }, "Show everything")),
      ]
    : [
        el("p", { class: "big" },
          entries.length > 0 ? "Nothing has been bought yet – " : "Nothing has happened yet – ",
          shopUrl ? el("a", { href: shopUrl, "data-focus": "shop" }, "buy something") : "buy something", "."),
        el("p", { class: "muted" },
          "Mails, text messages, labels, charges, refunds, taxes and webhooks appear here the moment they happen."),
      ];
  replaceContent(empty, content);
}

function failed(failure) {
  const problem = node("problem");
  problem.replaceChildren(failure.message);
  problem.hidden = false;
  clearTimeout(problemTimer);
  problemTimer = setTimeout(() => (problem.hidden = true), PROBLEM_MS);
}

/** Filter the list, and keep the filter in the address, for reloads, the back button and links. */
function go(filter) {
  const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
  history.pushState(null, "", query.size ? `/?${query}` : "/");
  apply();
}

function filterByOrder() {
  const order = node("order").value.trim();
  if (order !== feed.filter.order) go({ ...feed.filter, order });
}

function apply() {
  const query = new URLSearchParams(location.search);
  const kind = query.get("kind") ?? "";
  feed.filter = { kind: kind in KINDS ? kind : "", order: query.get("order") ?? "" };
  node("order").value = feed.filter.order;
  for (const button of node("kinds").children) {
    button.setAttribute("aria-pressed", String(button.dataset.kind === feed.filter.kind));
  }
  node("feed").classList.toggle("one-order", feed.filter.order !== "");
  const note = node("filter-note");
  note.hidden = !feed.filter.order;
  note.replaceChildren("Only order ", el("code", {}, feed.filter.order), " ",
    el("button", { type: "button", class: "link", on: { click: () => go({ ...feed.filter, order: "" }) } },
      "Show all orders"));
  load();
}

node("kinds").replaceChildren(...[["", "All"], ...Object.entries(KINDS)].map(([kind, label]) =>
  el("button", {
    type: "button",
    class: "kind",
    "data-kind": kind,
    on: { click: () => go({ ...feed.filter, kind }) },
  }, label)));
node("order-form").addEventListener("submit", (event) => {
  event.preventDefault();
  filterByOrder();
});
// A chosen suggestion, an emptied field, or the Enter key.
node("order").addEventListener("change", filterByOrder);
node("order").addEventListener("search", filterByOrder);
node("faults").open = matchMedia(WIDE).matches;
addEventListener("popstate", apply);
apply();
