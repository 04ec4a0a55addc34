/** The frame of the Payment Element: it keeps what is typed, and calls the sandbox's Stripe with the publishable key. */

import { checkAccount, checkCard, grouped, slashed } from "./checks.js";

const API = new URL("../../stripe/v1/", window.location.href);
const TIMEOUT_MS = 30000;
const METHODS = ["card", "us_bank_account"];
// What fills the fields: the first are the values that the shopper most likely wants.
const SAMPLES = {
  card: [
    ["4242424242424242", "4242: accepted"],
    ["4000000000003220", "3220: the bank asks you to confirm"],
    ["4000000000000002", "0002: declined"],
    ["4000000000009995", "9995: declined, insufficient funds"],
    ["4000008260003178", "3178: confirmed by you, then declined"],
    ["4000000000009235", "9235: accepted, elevated risk"],
    ["4000000000000101", "0101: declined, wrong security code"],
  ],
  us_bank_account: [
    ["000123456789", "6789: paid after some time"],
    ["000222222227", "2227: fails, insufficient funds"],
    ["000111111113", "1113: fails, account closed"],
    ["000000000009", "0009: stays unfinished"],
  ],
};
const VARIABLES = {
  colorPrimary: "--color-primary",
  colorBackground: "--color-background",
  colorText: "--color-text",
  colorTextSecondary: "--color-text-secondary",
  colorTextPlaceholder: "--color-text-placeholder",
  colorDanger: "--color-danger",
  borderRadius: "--border-radius",
  fontFamily: "--font-family",
  fontSizeBase: "--font-size-base",
  spacingUnit: "--spacing-unit",
};

const $ = (id) => document.getElementById(id);
const digits = (id) => $(id).value.replace(/\D/g, "");

// --- Stripe's API

const UNREACHABLE = {
  type: "api_connection_error",
  message:
    "We are experiencing issues connecting to our payments provider. You have not been charged. Please check your " +
    "internet connection and try again.",
};

/** Return the pairs of nested parameters in Stripe's encoding: {a: {b: 1}} is a[b]=1. */
function pairs(value, name = "") {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object") return [[name, String(value)]];
  return Object.entries(value).flatMap(([key, each]) => pairs(each, name ? `${name}[${key}]` : key));
}

/** Ask Stripe's API; resolves with {[name]: object} or {error}, and rejects never. */
async function ask(key, name, path, options = {}) {
  try {
    const headers = { Authorization: `Bearer ${key}` };
    const answer = await fetch(new URL(path, API), { ...options, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = await answer.json();
    return answer.ok ? { [name]: body } : { error: body.error };
  } catch {
    return { error: UNREACHABLE };
  }
}

function retrieve(key, secret) {
  const intent = encodeURIComponent(secret.split("_secret_")[0]);
  return ask(key, "paymentIntent", `payment_intents/${intent}?${new URLSearchParams({ client_secret: secret })}`);
}

/** Answer the bank for a shopper who closes its window. */
async function refuse(intent) {
  const address = new URL(`../3ds/${encodeURIComponent(intent)}`, window.location.href);
  const body = JSON.stringify({ result: "fail" });
  const headers = { "Content-Type": "application/json" };
  await fetch(address, { method: "POST", headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(() => {});
  return {};
}

// --- The fields

class Fields {
  constructor(port, key, options) {
    this.port = port;
    this.key = key;
    this.form = $("form");
    this.update(options);
    this.form.hidden = false;
    this.form.addEventListener("input", (event) => this.typed(event));
    this.form.addEventListener("focusin", () => this.tell("focus"));
    this.form.addEventListener("focusout", (event) => this.left(event));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target instanceof HTMLInputElement) this.tell("enter");
    });
    $("sample").addEventListener("change", () => this.fill($("sample").value));
    new ResizeObserver(() => this.tell("resize", { height: Math.ceil(document.body.scrollHeight) })).observe(document.body);
  }

  get method() {
    return new FormData(this.form).get("method");
  }

  tell(event, detail = {}) {
    this.port.postMessage({ event, detail });
  }

  /** Show what the options ask for: methods, colours, values that the shop knows. */
  update(options) {
    this.options = options;
    const { theme = "stripe", variables = {} } = options.appearance ?? {};
    const root = document.documentElement;
    root.dataset.theme = theme;
    root.style.colorScheme = theme === "night" ? "dark" : "light";
    for (const [name, property] of Object.entries(VARIABLES)) {
      if (typeof variables[name] === "string") root.style.setProperty(property, variables[name]);
      else root.style.removeProperty(property);
    }
    const asked = options.paymentMethodTypes ?? METHODS;
    const offered = METHODS.filter((each) => asked.includes(each) && (each === "card" || options.currency === "usd"));
    if (offered.length === 0) {
      const message = "None of the payment method types is offered by the sandbox for this currency.";
      this.tell("loaderror", { error: { type: "invalid_request_error", message } });
      return;
    }
    for (const radio of this.form.elements.method) radio.parentElement.hidden = !offered.includes(radio.value);
    if (!offered.includes(this.method)) this.form.elements.method.value = offered[0];
    $("methods").hidden = offered.length < 2;
    $("holder").value ||= options.defaultValues?.billingDetails?.name ?? "";
    this.choose();
  }

  /** Show the fields of the chosen method. */
  choose() {
    for (const each of METHODS) $(each).hidden = each !== this.method;
    const samples = [["", "Fill in …"], ...SAMPLES[this.method]];
    $("sample").replaceChildren(...samples.map(([value, label]) => new Option(label, value)));
  }

  fill(value) {
    if (!value) return;
    if (this.method === "card") {
      $("number").value = grouped(value);
      $("expiry").value = `12 / ${String(new Date().getFullYear() + 3).slice(2)}`;
      $("cvc").value = "123";
    } else {
      $("holder").value ||= "Jenny Rosen";
      $("routing").value = "110000000";
      $("account").value = value;
    }
    this.mark({});
    this.changed();
  }

  typed(event) {
    const { target } = event;
    if (target.name === "method") this.choose();
    if (target.id === "number") keepCaret(target, grouped);
    if (target.id === "expiry" && !event.inputType?.startsWith("delete")) target.value = slashed(target.value);
    if (["cvc", "routing", "account"].includes(target.id)) keepCaret(target, (text) => text.replace(/\D/g, ""));
    if (target.id) this.markOne(target.id, "");
    if (target.id !== "sample") this.changed();
  }

  /** Tell what is wrong with a field that the shopper has filled and left. */
  left(event) {
    this.tell("blur");
    const { id, value } = event.target;
    const found = this.problems()[id];
    if (value && found) this.markOne(id, found.message);
  }

  changed() {
    const used = this.method === "card" ? ["number", "expiry", "cvc"] : ["holder", "routing", "account"];
    this.tell("change", {
      empty: used.every((id) => $(id).value === ""),
      complete: Object.keys(this.problems()).length === 0,
      collapsed: false,
      value: { type: this.method },
    });
  }

  /** Return {field: {code, message}} of what is missing or wrong. */
  problems() {
    if (this.method === "card") return checkCard(digits("number"), $("expiry").value, digits("cvc"), new Date());
    return checkAccount($("holder").value, digits("routing"), digits("account"));
  }

  markOne(id, message) {
    const note = $(`${id}-error`);
    if (!note) return;
    note.textContent = message;
    if (message) $(id).setAttribute("aria-invalid", "true");
    else $(id).removeAttribute("aria-invalid");
  }

  mark(problems) {
    for (const note of this.form.querySelectorAll(".error")) {
      const id = note.id.replace("-error", "");
      this.markOne(id, problems[id]?.message ?? "");
    }
  }

  submit() {
    const problems = this.problems();
    this.mark(problems);
    const [id] = Object.keys(problems);
    if (!id) return { selectedPaymentMethod: this.method };
    $(id).focus();
    return { error: { type: "validation_error", ...problems[id] } };
  }

  focus() {
    const first = this.method === "card" ? "number" : "holder";
    $(first).focus();
    return {};
  }

  async token({ payment_method_data: more = {}, return_url, shipping }) {
    const method = this.method;
    const details = { ...more.billing_details };
    if (method === "us_bank_account") details.name = $("holder").value.trim();
    const data = { ...more, type: method, billing_details: details, [method]: this.entered() };
    const body = new URLSearchParams(pairs({ payment_method_data: data, return_url, shipping }));
    return ask(this.key, "confirmationToken", "confirmation_tokens", { method: "POST", body });
  }

  entered() {
    if (this.method === "card") {
      const [month, year] = $("expiry").value.split("/").map((part) => part.trim());
      return { number: digits("number"), exp_month: Number(month), exp_year: Number(year), cvc: digits("cvc") };
    }
    return {
      account_holder_type: "individual",
      account_type: "checking",
      routing_number: digits("routing"),
      account_number: digits("account"),
    };
  }
}

/** Format what is typed, without moving the caret over digits. */
function keepCaret(input, format) {
  const before = input.value.slice(0, input.selectionStart).replace(/\D/g, "").length;
  input.value = format(input.value);
  let place = 0;
  for (let seen = 0; seen < before && place < input.value.length; place++) {
    if (/\d/.test(input.value[place])) seen++;
  }
  input.setSelectionRange(place, place);
}

// --- The page around this frame

function serve(port, { part, key, options }) {
  const fields = part === "fields" ? new Fields(port, key, options) : null;
  const verbs = {
    retrieve: (secret) => retrieve(key, secret),
    refuse,
    ...(fields && {
      submit: () => fields.submit(),
      focus: () => fields.focus(),
      update: (changed) => fields.update(changed),
      token: (params) => fields.token(params),
    }),
  };
  port.onmessage = async ({ data }) => {
    port.postMessage({ id: data.id, result: await verbs[data.verb]?.(data.argument) });
  };
  if (fields) {
    fields.tell("loaderstart");
    fields.tell("ready");
  }
}

let isConnected = false;
window.addEventListener("message", ({ source, origin, data, ports }) => {
  // Only the page around this frame connects, once, and only one of the web. What it asks for afterwards uses the port.
  const isParent = source === window.parent && source !== window && /^https?:/.test(origin);
  if (isConnected || !isParent || data?.sandbox !== "connect" || ports.length !== 1) return;
  isConnected = true;
  serve(ports[0], data);
});
