// What the pages ask of the API: the client, with keys of actions that survive a reload.

import { Problem, Shop, newKey } from "./client.js";

export { Problem };

const client = new Shop();

// --- What this browser keeps

const NAMES = "storefront:";
// What the browser refuses to store lasts until the page is closed.
const memory = new Map();

/** A value kept in this browser, or `otherwise`. */
export function stored(name, otherwise = null) {
  try {
    return memory.get(name) ?? JSON.parse(localStorage.getItem(NAMES + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a value in this browser; null forgets it. */
export function store(name, value) {
  memory.delete(name);
  try {
    if (value === null) localStorage.removeItem(NAMES + name);
    else localStorage.setItem(NAMES + name, JSON.stringify(value));
  } catch {
    memory.set(name, value);
  }
}

/** The name of the value that changes when another tab changes the cart. */
export const CHANGED = `${NAMES}changed`;
const changed = () => store("changed", Date.now());

// --- Actions

/** An action whose outcome was not learned is repeated under its key for this long, also after a reload (ms). */
const KEY_AGE_MS = 15 * 60 * 1000;

/** Whether the shop has certainly not done, and will not do, what was asked. */
function isRefusal(error) {
  if (!(error instanceof Problem) || error.status < 400 || error.status >= 500) return false;
  return error.status !== 408 && error.status !== 429 && !(error.status === 409 && error.retryAfter !== null);
}

/**
 * Perform an action under an `Idempotency-Key`: a new one for each action, the same one until the shop has given a
 * definite answer.
 *
 * @param {string} name What distinguishes this action from the others of this browser.
 * @param {any} details What is sent; another one is another action.
 * @param {(options: {key: string}) => Promise<any>} send
 */
async function act(name, details, send) {
  const text = JSON.stringify(details);
  const known = stored("keys", {})[name];
  const isRetry = known?.text === text && Date.now() - known.at < KEY_AGE_MS;
  const entry = isRetry ? known : { text, key: newKey(), at: Date.now() };
  store("keys", { ...stored("keys", {}), [name]: entry });
  try {
    const answer = await send({ key: entry.key });
    forget([name]);
    return answer;
  } catch (error) {
    if (isRefusal(error)) forget([name]);
    throw error;
  }
}

/** Forget the keys of these actions: the next one of that name is a new one. */
function forget(names) {
  const kept = Object.entries(stored("keys", {})).filter(([name]) => !names.includes(name));
  store("keys", Object.fromEntries(kept));
}

// --- Products

/** The first `wanted` products of a category or search, with `has_more` and `total_count`. */
export async function products({ category, order_by }, wanted, signal) {
  let page = { has_more: true, next_cursor: null };
  const data = [];
  while (data.length < wanted && page.has_more) {
    const limit = Math.min(wanted - data.length, 100);
    page = await client.products({ category, order_by, limit, starting_after: page.next_cursor }, { signal });
    data.push(...page.data);
  }
  return { data, has_more: page.has_more, total_count: page.total_count };
}

export const product = (id, signal) => client.product(id, { signal });

/** Whether nothing of an SKU is left. */
export const isSoldOut = ({ inventory: { type, quantity, value } }) =>
  (type === "finite" && quantity <= 0) || (type === "bucket" && value === "out_of_stock");

/** The value of an attribute of an SKU; "" if it lacks that attribute. */
export const valueOf = (sku, name) => sku.attributes[name] ?? "";

/** The names of the attributes in which SKUs of a product differ. */
export const differences = (product, skus) =>
  product.attributes.filter((name) => new Set(skus.map((sku) => valueOf(sku, name))).size > 1);

/** The categories of the first hundred products, by name. */
export async function categories() {
  const { data } = await products({}, 100);
  return [...new Set(data.map((each) => each.metadata.category))].filter(Boolean).sort();
}

// --- Cart

const EMPTY = { items: [], item_count: 0, currency: null, subtotal: 0, total: 0, problems: [] };

/** The cart with names, pictures and prices. A shopper who has bought nothing yet needs none. */
export const cart = async (signal) => (client.cartId ? client.summary({ signal }) : EMPTY);

let lastInTurn = Promise.resolve();

/** Call `send` after the changes and checkouts of the cart that this page has already begun. */
function inTurn(send) {
  lastInTurn = lastInTurn.catch(() => {}).then(send);
  return lastInTurn;
}

/**
 * Change the cart, in turn. Whether or not that succeeds, a checkout of the cart as it was must not be repeated.
 *
 * @param {string[]} reversed The actions that this one undoes or replaces: they must not be repeated either.
 * @param {() => Promise<any>} send
 */
async function change(reversed, send) {
  const answer = await inTurn(() => {
    forget(["checkout", ...reversed]);
    return send();
  });
  changed();
  return answer;
}

// The SKU is always named: a product may have got or lost others since its page or the cart was read.

/** Put pieces of an SKU into the cart. */
export const buy = (product, { id: sku }, quantity) =>
  change([], () => act(`buy ${sku}`, quantity, (options) => client.buy(product.id, quantity, { ...options, sku })));

/** Set the number of pieces of an item of the cart. */
export const setQuantity = ({ product, parent: sku }, quantity) =>
  change([`buy ${sku}`], () => client.setQuantity(product, quantity, { sku }));

/** Take an item out of the cart. */
export const remove = ({ product, parent: sku }) =>
  change([`buy ${sku}`], () => client.remove(product, { sku }));

export const applyDiscount = (code) =>
  change([], () => act("discount", code, (options) => client.applyDiscount(code, options)));
export const removeDiscount = () => change(["discount"], () => client.removeDiscount());

// --- Orders

export const checkout = (customer) =>
  inTurn(() => act("checkout", customer, (options) => client.checkout(customer, options)));
export const order = (id, signal) => client.order(id, { signal });
export const chooseShipping = (id, method) =>
  act(`shipping ${id}`, method, (options) => client.chooseShipping(id, method, options));
export const pay = (id, card, returnUrl) =>
  act(`pay ${id}`, card, (options) => client.pay(id, card, { ...options, returnUrl }));
export const paymentOptions = (signal) => client.paymentOptions({ signal });
export const tracking = (shipment, signal) => client.tracking(shipment, { signal });

/** Whether a bank settles an order's payment within days, and nobody can pay it meanwhile. */
export const isSettling = ({ status, payment }) =>
  status === "created" && ["processing", "taken"].includes(payment?.status);
/** Whether an order can be paid. */
export const isOpen = (order) => order.status === "created" && !isSettling(order);

/** Stripe accepts a ConfirmationToken for twelve hours (ms). */
const TOKEN_AGE_MS = 11 * 3600 * 1000;

/** Keep the token of a payment until the shop has given a definite answer. */
export const keepAttempt = (id, token) => store(`attempt ${id}`, { token, at: Date.now() });
/** The token of a payment whose outcome is not known, or null. */
export function attemptOf(id) {
  const kept = stored(`attempt ${id}`);
  return kept && Date.now() - kept.at < TOKEN_AGE_MS ? kept.token : null;
}
/** Forget a token that can be used no more; another one, such as another tab's, stays. */
export const forgetAttempt = (id, token) => stored(`attempt ${id}`)?.token === token && store(`attempt ${id}`, null);

/** The address that thanks for an order, or says that its bank settles the payment later. */
export const thanks = (order) => `/order/${order.id}${isSettling(order) ? "" : "?thanks"}`;

/** Keep an order's id in this browser, and forget what was needed to pay it. */
export function remember({ id, amount, currency, created }) {
  store(`card ${id}`, null);
  store(`bank ${id}`, null);
  store(`attempt ${id}`, null);
  const known = stored("orders", []);
  const others = known.filter((each) => each.id !== id);
  // Paying has emptied the cart: what was done to it before must not be repeated.
  if (others.length === known.length)
    forget(Object.keys(stored("keys", {})).filter((name) => /^(buy|checkout|discount)\b/.test(name)));
  store("orders", [{ id, amount, currency, at: created }, ...others].slice(0, 20));
  changed();
}
