/** The fault switches of each provider: of its calls, and of the delivery of its webhooks. */

import { change } from "./api.js";
import { el } from "./dom.js";

const PROVIDERS = { stripe: "Stripe", shippo: "Shippo", twilio: "Twilio", sendgrid: "SendGrid" };
const DOES = { stripe: "payments", shippo: "labels", twilio: "SMS", sendgrid: "mail" };
const share = (rate) => (rate < 1 ? `${Math.round(rate * 100)} % ` : "");
const isSpent = (fault) => typeof fault.times === "number" && fault.hits >= fault.times;
const time = (ms) => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);

// Each switch: whether it is on, the fields that it sets, and what it is called in a state.
const CALLS = [
  {
    name: "error",
    help: "Calls fail, and nothing is done.",
    isOn: (fault) => fault.error_rate > 0,
    on: { error_rate: 1, error_status: 503 },
    off: { error_rate: 0, error_status: 500 },
    label: (fault) => (fault.error_rate > 0 ? `Errors: ${share(fault.error_rate)}${fault.error_status}` : "Errors"),
  },
  {
    name: "saved",
    help: "Calls answer 500, and Stripe repeats that for their idempotency key. Nothing is done.",
    isOn: (fault) => fault.saved_error_rate > 0,
    on: { saved_error_rate: 1 },
    off: { saved_error_rate: 0 },
    label: (fault) => `Saved 500${fault.saved_error_rate % 1 ? `: ${share(fault.saved_error_rate)}` : ""}`,
  },
  {
    name: "saved-done",
    help: "The same, but the calls take effect.",
    isOn: (fault) => fault.saved_error_done_rate > 0,
    on: { saved_error_done_rate: 1 },
    off: { saved_error_done_rate: 0 },
    label: (fault) => `Done, but 500${fault.saved_error_done_rate % 1 ? `: ${share(fault.saved_error_done_rate)}` : ""}`,
  },
  {
    name: "slow",
    help: "Every answer is late.",
    isOn: (fault) => fault.latency_ms > 0,
    on: { latency_ms: 3000 },
    off: { latency_ms: 0 },
    label: (fault) => (fault.latency_ms > 0 ? `Slow: ${time(fault.latency_ms)}` : "Slow"),
  },
  {
    name: "lose",
    help: "Calls take effect, but the connection breaks before the answer.",
    isOn: (fault) => fault.lose_answer_rate > 0,
    on: { lose_answer_rate: 1 },
    off: { lose_answer_rate: 0 },
    label: (fault) => `Lost answers${fault.lose_answer_rate % 1 ? `: ${share(fault.lose_answer_rate)}` : ""}`,
  },
  {
    name: "hang",
    help: "Calls never get an answer.",
    isOn: (fault) => fault.hang_rate > 0,
    on: { hang_rate: 1 },
    off: { hang_rate: 0 },
    label: (fault) => `Hang${fault.hang_rate % 1 ? `: ${share(fault.hang_rate)}` : ""}`,
  },
];
const WEBHOOKS = [
  {
    name: "off",
    help: "No webhook is sent or kept, as if the endpoint were disabled.",
    isOn: (state) => !state.enabled,
    on: { enabled: false },
    off: { enabled: true },
    label: () => "Disabled",
  },
  ...[
    ["loss_rate", "Lost", "Webhooks are never sent."],
    ["duplicate_rate", "Twice", "Webhooks are sent twice."],
    ["reorder_rate", "Reordered", "Webhooks overtake each other."],
  ].map(([field, label, help]) => ({
    name: field,
    help,
    isOn: (state) => state[field] > 0,
    on: { [field]: 1 },
    off: { [field]: 0 },
    label: (state) => `${label}${state[field] % 1 ? `: ${share(state[field])}` : ""}`,
  })),
  {
    name: "late",
    help: "Webhooks wait before they are sent.",
    isOn: (state) => state.delay_ms > 0,
    on: { delay_ms: 5000 },
    off: { delay_ms: 0 },
    label: (state) => (state.delay_ms > 0 ? `Late: ${time(state.delay_ms)}` : "Late"),
  },
];
// Options of a provider that make it as hard as the real one.
const OPTIONS = {
  stripe: [
    {
      name: "fail",
      help: "Refunds succeed first and fail a minute later.",
      isOn: (options) => options.refund_fail_rate > 0,
      on: { refund_fail_rate: 1, refund_pending_rate: 0 },
      off: { refund_fail_rate: 0 },
      label: (options) => `Refunds fail${options.refund_fail_rate % 1 ? `: ${share(options.refund_fail_rate)}` : ""}`,
    },
    {
      name: "pend",
      help: "Refunds are pending for a minute.",
      isOn: (options) => options.refund_pending_rate > 0,
      on: { refund_pending_rate: 1, refund_fail_rate: 0 },
      off: { refund_pending_rate: 0 },
      label: (options) => `Refunds pend${options.refund_pending_rate % 1 ? `: ${share(options.refund_pending_rate)}` : ""}`,
    },
    {
      name: "capture",
      help: "A charge gets its balance transaction a minute later.",
      isOn: (options) => options.asynchronous_capture,
      on: { asynchronous_capture: true },
      off: { asynchronous_capture: false },
      label: () => "Captured later",
    },
    {
      name: "script",
      help: "The bank's question is left to Stripe.js.",
      isOn: (options) => options.use_stripe_sdk,
      on: { use_stripe_sdk: true },
      off: { use_stripe_sdk: false },
      label: () => "Bank by Stripe.js",
    },
    {
      name: "redirect",
      help: "A payment with a return_url redirects to the bank's page, even if Stripe.js could show it.",
      isOn: (options) => options.redirect_to_url,
      on: { redirect_to_url: true },
      off: { redirect_to_url: false },
      label: () => "Bank by redirect",
    },
  ],
  shippo: [
    {
      name: "ups",
      help: "UPS quotes rates, too.",
      isOn: (options) => options.ups,
      on: { ups: true },
      off: { ups: false },
      label: () => "UPS",
    },
    {
      name: "one",
      help: "USPS quotes no shipment of several parcels.",
      isOn: (options) => options.usps_one_parcel,
      on: { usps_one_parcel: true },
      off: { usps_one_parcel: false },
      label: () => "USPS: one parcel",
    },
    {
      name: "dearer",
      help: "New quotes cost twice as much as usual.",
      isOn: (options) => options.price_factor !== 1,
      on: { price_factor: 2 },
      off: { price_factor: 1 },
      label: (options) => `Quotes × ${options.price_factor === 1 ? 2 : options.price_factor}`,
    },
    {
      name: "purchase",
      help: "The purchase of a label waits for the carrier. Its label has the buttons that end it.",
      isOn: (options) => options.purchase_seconds !== 0,
      on: { purchase_seconds: null },
      off: { purchase_seconds: 0 },
      label: (options) => `Purchases wait${options.purchase_seconds ? `: ${time(1000 * options.purchase_seconds)}` : ""}`,
    },
    {
      name: "fail",
      help: "The carrier does not answer, and the purchase of a label fails.",
      isOn: (options) => options.purchase_error_rate > 0,
      on: { purchase_error_rate: 1 },
      off: { purchase_error_rate: 0 },
      label: (options) => `Purchases fail${options.purchase_error_rate % 1 ? `: ${share(options.purchase_error_rate)}` : ""}`,
    },
    {
      name: "refund",
      help: "A label's refund waits for the carrier. Its label has the buttons that end it.",
      isOn: (options) => options.refund_seconds !== 0,
      on: { refund_seconds: null },
      off: { refund_seconds: 0 },
      label: (options) => `Refunds wait${options.refund_seconds ? `: ${time(1000 * options.refund_seconds)}` : ""}`,
    },
    {
      name: "reject",
      help: "The carrier rejects refunds of unused labels.",
      isOn: (options) => options.refund_error_rate > 0,
      on: { refund_error_rate: 1 },
      off: { refund_error_rate: 0 },
      label: (options) => `Refunds rejected${options.refund_error_rate % 1 ? `: ${share(options.refund_error_rate)}` : ""}`,
    },
  ],
};
// The exact values: field, label, kind of value.
const RATE = { type: "number", min: 0, max: 1, step: "any" };
const WHOLE = { type: "number", min: 0, step: 1 };
const FAULT_FIELDS = [
  ["error_rate", "Share of errors (0–1)", RATE],
  ["error_status", "Status of errors", { ...WHOLE, min: 400, max: 599 }],
  ["latency_ms", "Delay (ms)", { ...WHOLE, max: 600000, step: "any" }],
  ["lose_answer_rate", "Share of lost answers (0–1)", RATE],
  ["hang_rate", "Share of hanging calls (0–1)", RATE],
  ["saved_error_rate", "Share of saved 500s (0–1)", RATE],
  ["saved_error_done_rate", "Share of 500s of calls that are done (0–1)", RATE],
  ["times", "For how many calls", WHOLE],
  ["method", "Only this method", { type: "text", maxlength: 10 }],
  ["path", "Only paths that begin with", { type: "text", maxlength: 200 }],
  ["seed", "Seed", WHOLE],
];

export class Switches {
  /**
   * @param {{providers: HTMLElement, summary: HTMLElement, clearAll: HTMLElement}} nodes
   * @param {{said: (sentence: string) => void, failed: (failure: Error) => void}} listener
   */
  constructor(nodes, listener) {
    this.nodes = nodes;
    this.listener = listener;
    this.state = null;
    this.cards = null;
    nodes.clearAll.addEventListener("click", () => this.clearAll());
  }

  /** Show the state that the sandbox reports: {faults, webhooks}, each by provider. */
  show(state) {
    this.state = state;
    if (this.cards === null) {
      this.cards = Object.fromEntries(Object.keys(PROVIDERS).map((name) => [name, this.card(name)]));
      this.nodes.providers.replaceChildren(...Object.values(this.cards).map((card) => card.node));
    }
    for (const [name, card] of Object.entries(this.cards)) {
      card.update(state.faults[name], state.webhooks[name], state.options[name]);
    }
    const broken = Object.keys(PROVIDERS).filter((name) => this.isOn(name));
    this.nodes.summary.textContent = broken.length
      ? `on: ${broken.map((name) => PROVIDERS[name]).join(", ")}`
      : "all providers are healthy";
    this.nodes.summary.classList.toggle("alarm", broken.length > 0);
    this.nodes.clearAll.hidden = broken.length === 0;
  }

  isOn(name) {
    const { faults, webhooks, options } = this.state;
    if (OPTIONS[name]?.some((each) => each.isOn(options[name]))) return true;
    return (!isSpent(faults[name]) && CALLS.some((each) => each.isOn(faults[name]))) || WEBHOOKS.some((each) => each.isOn(webhooks[name]));
  }

  async clearAll() {
    for (const name of Object.keys(PROVIDERS).filter((each) => this.isOn(each))) {
      await this.send("DELETE", `/sandbox/faults/${name}`);
      await this.send("DELETE", `/sandbox/webhooks/${name}`);
      if (OPTIONS[name]) await this.send("DELETE", `/sandbox/options/${name}`);
    }
    this.nodes.clearAll.closest("details").querySelector("summary").focus();
    this.listener.said("All faults are off.");
  }

  async send(method, path, body = undefined) {
    try {
      return await change(method, path, body);
    } catch (failure) {
      this.listener.failed(failure);
      return null;
    }
  }

  async flip(kind, name, each, isOn) {
    const path = `/sandbox/${kind}/${name}`;
    const { hits, counts, ...fields } = this.state[kind][name];
    const kept = isSpent(this.state[kind][name]) ? {} : fields;
    const state = await this.send("PUT", path, { ...kept, ...(isOn ? each.on : each.off) });
    if (state === null) return;
    this.take(kind, name, state);
    this.listener.said(`${PROVIDERS[name]}, ${each.label(state)}: ${isOn ? "on" : "off"}.`);
  }

  take(kind, name, state) {
    this.show({ ...this.state, [kind]: { ...this.state[kind], [name]: state } });
  }

  card(name) {
    const hits = el("span", { class: "muted" });
    const calls = CALLS.map((each) => this.toggle("faults", name, each));
    const webhooks = WEBHOOKS.map((each) => this.toggle("webhooks", name, each));
    const options = (OPTIONS[name] ?? []).map((each) => this.toggle("options", name, each));
    const note = el("p", { class: "note", hidden: true });
    const counts = el("span", {});
    const flush = el("button", {
      type: "button",
      class: "button small",
      hidden: true,
      on: {
        click: async () => {
          const answer = await this.send("POST", `/sandbox/webhooks/${name}/flush`);
          if (answer !== null) this.listener.said(`${answer.flushed} webhooks sent.`);
        },
      },
    }, "Send them now");
    const exact = this.exact(name);
    const title = `provider-${name}`;
    const node = el("section", { class: "provider", "aria-labelledby": title },
      el("div", { class: "provider-head" },
        el("h3", { id: title }, PROVIDERS[name], " ", el("span", { class: "muted" }, DOES[name])), hits),
      el("div", { role: "group", "aria-label": `${PROVIDERS[name]}: its calls`, class: "toggles" },
        el("p", { class: "toggles-name" }, "Calls"), ...calls.map((one) => one.node)),
      note,
      el("div", { role: "group", "aria-label": `${PROVIDERS[name]}: its webhooks`, class: "toggles" },
        el("p", { class: "toggles-name" }, counts, flush), ...webhooks.map((one) => one.node)),
      options.length > 0 && el("div", { role: "group", "aria-label": `${PROVIDERS[name]}: its options`, class: "toggles" },
        el("p", { class: "toggles-name" }, "Options"), ...options.map((one) => one.node)),
      exact.node);
    const update = (fault, delivery, chosen) => {
      for (const one of options) one.update(chosen);
      for (const one of calls) one.update(fault);
      for (const one of webhooks) one.update(delivery);
      hits.textContent = fault.hits ? `${fault.hits} ${fault.hits === 1 ? "call" : "calls"} affected` : "";
      const left = fault.times === null ? null : fault.times - fault.hits;
      const limits = isSpent(fault) ? [] : [
        left !== null && (left === 1 ? "the next call" : `the next ${left} calls`),
        (fault.method || fault.path) && `${fault.method ?? ""} ${fault.path ?? ""}`.trim(),
      ].filter(Boolean);
      note.hidden = limits.length === 0;
      note.textContent = `Only ${limits.join(", ")}`;
      const { waiting, delivered, failed, lost } = delivery.counts;
      const numbers = [
        delivered && `${delivered} delivered`,
        failed && `${failed} failed`,
        lost && `${lost} lost`,
        waiting && `${waiting} waiting`,
      ].filter(Boolean);
      counts.textContent = ["Webhooks", numbers.join(", ")].filter(Boolean).join(": ");
      flush.hidden = !waiting && document.activeElement !== flush;
      exact.update(fault);
    };
    return { node, update };
  }

  toggle(kind, name, each) {
    const text = el("span", {});
    const node = el("button", {
      type: "button",
      role: "switch",
      class: "switch",
      title: each.help,
      "aria-checked": "false",
      on: { click: () => this.flip(kind, name, each, node.getAttribute("aria-checked") !== "true") },
    }, el("span", { class: "knob", "aria-hidden": "true" }), text);
    return {
      node,
      update: (state) => {
        node.setAttribute("aria-checked", String(each.isOn(state) && !isSpent(state)));
        const label = each.label(state).trim();
        if (text.textContent !== label) text.textContent = label;
      },
    };
  }

  /** Return a form with the exact values of a provider's fault. What is typed is not overwritten by news. */
  exact(name) {
    const inputs = FAULT_FIELDS.map(([field, label, attributes]) => {
      const id = `${name}-${field}`;
      const input = el("input", { id, name: field, autocomplete: "off", ...attributes });
      return { field, input, node: el("div", {}, el("label", { for: id }, label), input) };
    });
    const details = el("details", { class: "exact" },
      el("summary", {}, "Exact values", el("span", { class: "visually-hidden" }, ` of ${PROVIDERS[name]}'s calls`)),
      el("form", {
        on: {
          input: () => (details.dataset.dirty = "yes"),
          submit: async (event) => {
            event.preventDefault();
            const fault = {};
            for (const { field, input } of inputs) {
              const value = input.value.trim();
              if (value !== "") fault[field] = input.type === "number" ? Number(value) : value;
            }
            const state = await this.send("PUT", `/sandbox/faults/${name}`, fault);
            if (state === null) return;
            delete details.dataset.dirty;
            this.take("faults", name, state);
            this.listener.said(`The fault of ${PROVIDERS[name]} is set.`);
          },
        },
      },
        el("div", { class: "fields" }, ...inputs.map((one) => one.node)),
        el("button", { type: "submit", class: "button small" }, "Set"),
        " ",
        el("button", {
          type: "button",
          class: "button small",
          on: {
            click: async () => {
              const state = await this.send("DELETE", `/sandbox/faults/${name}`);
              if (state === null) return;
              delete details.dataset.dirty;
              this.take("faults", name, state);
              this.listener.said(`The fault of ${PROVIDERS[name]} is off.`);
            },
          },
        }, "Clear")));
    return {
      node: details,
      update: (fault) => {
        if (details.dataset.dirty) return;
        for (const { field, input } of inputs) input.value = fault[field] ?? "";
      },
    };
  }
}
