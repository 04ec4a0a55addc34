/** The list of entries, newest first. An entry that changes is changed in its place, so that focus and scroll stay. */

import { Failure, change, read } from "./api.js";
import { el, icon, moment, replaceContent } from "./dom.js";
import { changing, lasting, line, steps } from "./entries.js";

// A longer timer of a browser fires at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const PAGE = 50;
// More rows than this are cut off at the end of the list, where "Load more" brings them back.
const MOST_ROWS = 250;
const OPEN_KEPT = 20;
const OPEN = "sandbox-open";

export class Feed {
  /**
   * @param {{list: HTMLElement, more: HTMLElement}} nodes
   * @param {{arrived: (entry: object) => void, said: (sentence: string) => void, failed: (failure: Failure) => void,
   *     filter: (order: string) => void, changed: () => void}} listener
   */
  constructor(nodes, listener) {
    this.nodes = nodes;
    this.listener = listener;
    this.rows = new Map();
    this.filter = { kind: "", order: "" };
    this.hasMore = false;
    this.loading = 0;
    this.room = MOST_ROWS;
    this.open = new Set(JSON.parse(sessionStorage.getItem(OPEN) ?? "[]"));
    nodes.more.addEventListener("click", () => this.loadMore());
  }

  /** Read the newest entries; return the answer of the sandbox, or null when another load has begun meanwhile. */
  async load() {
    const turn = ++this.loading;
    const answer = await read(this.path());
    if (turn !== this.loading) return null;
    const kept = new Set(answer.entries.map((entry) => entry.key));
    for (const [key, row] of this.rows) if (!kept.has(key)) this.remove(row);
    this.room = MOST_ROWS;
    for (const entry of answer.entries) this.show(entry);
    this.setMore(answer.has_more);
    return answer;
  }

  async loadMore() {
    const turn = this.loading;
    const { more } = this.nodes;
    more.disabled = true;
    try {
      const answer = await read(this.path(this.oldest()));
      if (turn !== this.loading) return;
      this.room += answer.entries.length;
      for (const entry of answer.entries) this.show(entry);
      this.setMore(answer.has_more);
      this.rows.get(answer.entries[0]?.key)?.title.focus();
      this.listener.said(`${answer.entries.length} older entries.`);
    } catch (failure) {
      this.listener.failed(failure);
    } finally {
      more.disabled = false;
    }
  }

  path(before = null) {
    const query = new URLSearchParams({ limit: PAGE });
    if (this.filter.kind) query.set("kind", this.filter.kind);
    if (this.filter.order) query.set("order_id", this.filter.order);
    if (before !== null) query.set("before", before);
    return `/sandbox/feed?${query}`;
  }

  setMore(hasMore) {
    this.hasMore = hasMore;
    this.nodes.more.hidden = !hasMore;
    this.listener.changed();
  }

  /** Take an entry of the stream: a new one, or one that changed. */
  take(entry) {
    const known = this.rows.has(entry.key);
    if (!known && !this.wants(entry)) return;
    this.show(entry);
    if (known) return;
    this.rows.get(entry.key).node.classList.add("new");
    this.listener.arrived(entry);
    this.cut();
    this.listener.changed();
  }

  wants(entry) {
    if (this.filter.kind && entry.kind !== this.filter.kind) return false;
    if (this.filter.order && !entry.orders.includes(this.filter.order)) return false;
    return !this.hasMore || entry.place > this.oldest();
  }

  oldest() {
    return this.nodes.list.lastElementChild ? Number(this.nodes.list.lastElementChild.dataset.place) : 0;
  }

  cut() {
    let last = this.nodes.list.lastElementChild;
    while (this.rows.size > this.room && last) {
      const before = last.previousElementSibling;
      const row = this.rows.get(last.dataset.key);
      if (row.details !== null || last.contains(document.activeElement)) return;
      this.remove(row);
      this.setMore(true);
      last = before;
    }
  }

  remove(row) {
    clearTimeout(row.timer);
    row.node.remove();
    this.rows.delete(row.entry.key);
  }

  /** Show an entry, in its row or a new one. */
  show(entry) {
    let row = this.rows.get(entry.key);
    if (row === undefined) {
      row = this.newRow(entry);
      this.rows.set(entry.key, row);
      this.insert(row.node);
      this.fill(row, entry);
      if (this.open.has(entry.key)) this.expand(row);
    } else {
      this.fill(row, entry);
      if (row.details !== null) this.fillDetails(row);
    }
    clearTimeout(row.timer);
    // Some statuses change with time alone; the sandbox sends no event for them.
    if (entry.settles_in !== null) row.timer = setTimeout(() => this.look(row), Math.min(entry.settles_in * 1000 + 50, LONGEST_TIMER_MS));
  }

  insert(node) {
    const { list } = this.nodes;
    const place = Number(node.dataset.place);
    let next = list.firstElementChild;
    if (next !== null && this.oldest() > place) next = null;
    while (next !== null && Number(next.dataset.place) > place) next = next.nextElementSibling;
    list.insertBefore(node, next);
  }

  newRow(entry) {
    const id = `entry-${entry.place}`;
    const title = el("button", {
      type: "button",
      class: "title",
      "aria-expanded": "false",
      "aria-controls": `${id}-details`,
    });
    const row = { entry, title, head: el("div", { class: "head" }), details: null, timer: 0, holder: null };
    title.addEventListener("click", () => (row.details === null ? this.expand(row) : this.collapse(row)));
    row.badge = el("span", { class: "badges" });
    row.facts = el("p", { class: "facts" });
    row.actions = el("div", { class: "actions" });
    row.holder = el("div", { id: `${id}-details`, class: "details", hidden: true });
    row.head.append(el("h3", {}, title), row.badge);
    row.node = el("li", { class: `entry is-${entry.kind}`, "data-key": entry.key, "data-place": entry.place },
      el("span", { class: "mark" }, icon(entry.kind)), row.head, row.facts, row.actions, row.holder);
    return row;
  }

  fill(row, entry) {
    row.entry = entry;
    const shown = line(entry);
    const kind = el("span", { class: "visually-hidden" }, `${shown.kind}: `);
    row.title.replaceChildren(kind, shown.title);
    const [tone, text] = shown.badge ?? [];
    row.badge.replaceChildren(...[steps(entry), text && el("span", { class: `badge ${tone}` }, text)].filter(Boolean));
    const facts = shown.facts.filter(Boolean).map((fact) => (fact instanceof Node ? fact : el("span", {}, fact)));
    for (const fact of facts) fact.classList.add("fact");
    const orders = entry.orders.map((order) => this.chip(order));
    replaceContent(row.facts, [moment(entry.created), ...orders, ...facts], row.title);
    replaceContent(row.actions, shown.actions.map((action) => this.button(row, action)), row.title);
    row.actions.hidden = shown.actions.length === 0;
  }

  chip(order) {
    const query = new URLSearchParams({ order });
    return el("a", {
      class: "chip",
      href: `/?${query}`,
      "data-focus": `order-${order}`,
      title: "Show only this order",
      on: {
        click: (event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          this.listener.filter(order);
        },
      },
    }, order);
  }

  button(row, action) {
    const node = el("button", {
      type: "button",
      class: action.strong ? "button strong" : "button",
      "data-focus": action.name,
      on: {
        click: async () => {
          if (node.hasAttribute("aria-disabled")) return;
          node.setAttribute("aria-disabled", "true");
          try {
            await change(action.method, action.path, action.body);
            this.listener.said(action.done);
          } catch (failure) {
            this.listener.failed(failure);
          }
          node.removeAttribute("aria-disabled");
          await this.look(row);
        },
      },
    }, action.label);
    return node;
  }

  /** Ask for one entry's present state. */
  async look(row) {
    try {
      const { entry } = await read(`/sandbox/feed/${row.entry.key}`);
      if (this.rows.get(entry.key) === row) this.show(entry);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
    }
  }

  async expand(row) {
    row.title.setAttribute("aria-expanded", "true");
    row.node.classList.add("open");
    row.details = { lasting: el("div", {}), changing: el("div", {}) };
    row.holder.replaceChildren(row.details.lasting, row.details.changing);
    row.holder.hidden = false;
    this.remember(row.entry.key, true);
    await this.fillDetails(row);
  }

  async fillDetails(row) {
    const { details } = row;
    try {
      const answer = await read(`/sandbox/feed/${row.entry.key}`);
      if (row.details !== details) return;
      // Once there, it stays: a frame that moves in the document loads again.
      if (details.lasting.childElementCount === 0) details.lasting.append(...lasting(answer));
      replaceContent(details.changing, changing(answer, (action) => this.button(row, action)), row.title);
    } catch (failure) {
      if (details.changing.childElementCount === 0) details.changing.append(el("p", { class: "muted" }, failure.message));
    }
  }

  collapse(row) {
    row.title.setAttribute("aria-expanded", "false");
    row.node.classList.remove("open");
    row.details = null;
    row.holder.hidden = true;
    row.holder.replaceChildren();
    this.remember(row.entry.key, false);
  }

  /** Open entries are open again after a reload. */
  remember(key, isOpen) {
    this.open.delete(key);
    if (isOpen) this.open.add(key);
    sessionStorage.setItem(OPEN, JSON.stringify([...this.open].slice(-OPEN_KEPT)));
  }
}
