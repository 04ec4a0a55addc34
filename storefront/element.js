// Stripe's Payment Element: the fields for a card or a bank account, in a frame of Stripe's. Its script is loaded when
// the fields are first shown. https://docs.stripe.com/payments/finalize-payments-on-the-server

import { Problem } from "./client.js";
import { LOCALE } from "./words.js";

/** The address of Stripe's script, from the gateway; "" if the shop has no publishable key, and offers test cards. */
export const SCRIPT_URL = document.querySelector('meta[name="stripe-js"]')?.content ?? "";
// The script, and then the fields, must be there within this time.
const LOAD_TIMEOUT_MS = 20_000;
const TOKEN_TIMEOUT_MS = 60_000;

let policy = null;
let loading = null;
const instances = new Map();

/** Admit the addresses of scripts that the page's Content-Security-Policy admits, and no HTML. */
function admitScripts() {
  const home = new URL(SCRIPT_URL);
  const isStripes = ({ origin, protocol, hostname }) =>
    origin === home.origin || (protocol === home.protocol && hostname.endsWith(`.${home.hostname}`));
  // Stripe.js sets addresses as text, so that only the policy of this name can admit them.
  policy ??= globalThis.trustedTypes?.createPolicy("default", {
    createScriptURL: (url) => (isStripes(new URL(url, location.href)) ? url : null),
  });
}

/** Load the script, which may still arrive after a call that gave up. After a failure, the next call tries again. */
function load() {
  loading ??= inject().catch((error) => {
    loading = null;
    throw error;
  });
  return within(LOAD_TIMEOUT_MS, loading);
}

async function inject() {
  admitScripts();
  const script = document.createElement("script");
  const loaded = new Promise((resolve, reject) => {
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(unreachable()));
  });
  script.src = SCRIPT_URL;
  document.head.append(script);
  try {
    await loaded;
    if (typeof globalThis.Stripe !== "function") throw unreachable();
  } catch (error) {
    script.remove();
    throw error;
  }
}

const unreachable = () =>
  new Problem({
    status: 503,
    title: "The payment form could not be loaded",
    detail: "The payment form could not be loaded. Check your connection and blockers of scripts, and try again, or reload the page.",
  });

/** The outcome of `promise`, or a Problem after `ms`. */
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(unreachable()), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Stripe's object for a publishable key: one for the life of the page. */
async function stripeOf(key) {
  await load();
  if (!instances.has(key)) instances.set(key, globalThis.Stripe(key, { locale: LOCALE }));
  return instances.get(key);
}

// The colours and the font of the shop. https://docs.stripe.com/elements/appearance-api
function appearance() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    theme: matchMedia(DARK).matches ? "night" : "stripe",
    variables: {
      colorPrimary: value("--accent"),
      colorBackground: value("--surface"),
      colorText: value("--ink"),
      colorTextSecondary: value("--soft"),
      colorTextPlaceholder: value("--soft"),
      colorDanger: value("--bad"),
      fontFamily: value("--sans"),
      borderRadius: "10px",
    },
  };
}
const DARK = "(prefers-color-scheme: dark)";

/** What Stripe says about an entry or a payment, for `problemBox`. */
const problemOf = ({ type, message }, status = type === "validation_error" ? 400 : 402) =>
  new Problem({ status, title: "Not paid", detail: message || "The payment was not made." });

/**
 * Show the fields for an order in `node`, which is in the document. Throws a `Problem` if that fails.
 *
 * @param {HTMLElement} node
 * @param {string} key The publishable key.
 * @param {import("./client.js").Order & {email: string, shipping: any}} order
 */
export async function paymentElement(node, key, { amount, currency, email, shipping }) {
  const stripe = await stripeOf(key);
  const elements = stripe.elements({ mode: "payment", amount, currency, locale: LOCALE, appearance: appearance() });
  // Stripe.js takes no null.
  const given = (value) => value ?? undefined;
  const { country, postal_code } = shipping.address ?? {};
  const address = { country: given(country), postal_code: given(postal_code) };
  const element = elements.create("payment", {
    defaultValues: { billingDetails: { name: given(shipping.name), email: given(email), address } },
  });
  const ready = new Promise((resolve, reject) => {
    element.on("ready", resolve);
    element.on("loaderror", ({ error }) => reject(error?.message ? problemOf(error, 503) : unreachable()));
  });
  const recolour = () => elements.update({ appearance: appearance() });
  const colours = matchMedia(DARK);
  const destroy = () => {
    colours.removeEventListener("change", recolour);
    element.destroy();
  };
  colours.addEventListener("change", recolour);
  try {
    element.mount(node);
    await within(LOAD_TIMEOUT_MS, ready);
  } catch (error) {
    destroy();
    throw error;
  }
  return {
    destroy,
    /** Follow a change of the order. */
    update: (changed) => elements.update({ amount: changed.amount, currency: changed.currency }),
    /** Check what was entered; the fields say what is wrong. Call it first when the button is pressed. */
    async check() {
      const { error } = await elements.submit();
      if (error) throw problemOf(error);
    },
    /** A token of what was entered, which can be used for one payment. */
    async token(returnUrl) {
      const made = stripe.createConfirmationToken({ elements, params: { return_url: returnUrl } });
      const { confirmationToken, error } = await within(TOKEN_TIMEOUT_MS, made);
      if (error) throw problemOf(error);
      return confirmationToken.id;
    },
  };
}

/**
 * Let the shopper confirm a payment to the bank: in a window of Stripe's, or on the bank's page, which ends this one.
 *
 * @param {string} key The publishable key.
 * @param {string} clientSecret
 * @returns {Promise<{isPaid: boolean, refusal: Problem | null}>} Neither, if the bank has not answered.
 */
export async function askBank(key, clientSecret) {
  const stripe = await stripeOf(key);
  // It throws if there is nothing to confirm any more.
  const { paymentIntent, error } = await stripe
    .handleNextAction({ clientSecret })
    .catch(() => stripe.retrievePaymentIntent(clientSecret));
  const status = (paymentIntent ?? error?.payment_intent)?.status;
  const isRefused =
    error?.code === "payment_intent_authentication_failure" || ["requires_payment_method", "canceled"].includes(status);
  return {
    isPaid: ["succeeded", "processing", "requires_capture"].includes(status),
    refusal: isRefused ? problemOf(error ?? paymentIntent.last_payment_error ?? {}, 402) : null,
  };
}
