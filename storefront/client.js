/**
 * The shop's public API for a storefront, in one file without dependencies.
 *
 *     import { Shop, Problem } from "./client.js";
 *
 *     const shop = new Shop("https://shop.example.com");
 *     const { data: [product] } = await shop.products({ category: "toys" });
 *     await shop.buy(product.id, 2);
 *
 * The cart is created when it is first needed, and its id is kept in `storage`. Every POST has an `Idempotency-Key`: a
 * new one for each call, the same one when the call is repeated because its answer was lost. Every call ends: it returns
 * what the API answers, or throws a `Problem`.
 *
 * @module
 */

/** The time for one attempt: longer than the shop's own longest deadline (ms). */
const ATTEMPT_TIMEOUT_MS = 40_000;
/** How often a call is sent while its answer is lost, or says that a repetition is safe. */
const MAX_ATTEMPTS = 4;
/** A longer `Retry-After` is not waited for: the page says so, and the shopper tries again (s). */
const MAX_RETRY_AFTER_S = 10;
/** The wait before a repetition when the answer was lost (s). */
const LOST_RETRY_AFTER_S = 1;
/** The statuses whose `Retry-After` means that repeating is safe. */
const REPEATABLE = new Set([409, 502, 503, 504]);

/**
 * What the API reports instead of a result: a problem body (RFC 9457), or a connection that failed.
 *
 * `message` is the `detail`, for people.
 */
export class Problem extends Error {
  /**
   * @param {object} body The problem body.
   * @param {number | null} [retryAfter] Seconds until a repetition makes sense.
   */
  constructor(body, retryAfter = null) {
    super(body.detail || body.title);
    this.name = "Problem";
    /** `urn:shop:problem:` and a name, for programs. @type {string} */
    this.type = body.type;
    /** @type {string} */
    this.title = body.title;
    /** The HTTP status; 0 when the shop cannot be reached. @type {number} */
    this.status = body.status;
    /** For people. @type {string} */
    this.detail = body.detail;
    /** The same as in the shop's log. @type {string | null} */
    this.request_id = body.request_id ?? null;
    /** For invalid input: field -> messages, nested as sent. @type {Record<string, any>} */
    this.errors = body.errors ?? {};
    /** The address as the carrier would correct it (422 of a checkout). @type {Record<string, string | null> | null} */
    this.suggestion = body.suggestion ?? null;
    /** The bank's reason for a decline, such as `insufficient_funds`. @type {string | null} */
    this.decline_code = body.decline_code ?? null;
    /** The payment provider's code, such as `card_declined`. @type {string | null} */
    this.code = body.code ?? null;
    /** What the bank wants the shopper to do (402). @type {Record<string, any> | null} */
    this.next_action = body.next_action ?? null;
    /** For the payment provider's own script, with `next_action`. @type {string | null} */
    this.client_secret = body.client_secret ?? null;
    /** @type {number | null} */
    this.retryAfter = retryAfter;
  }
}

/**
 * @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store
 *
 * @typedef {object} Options
 * @property {AbortSignal} [signal] Ends the call with the signal's reason.
 * @property {string} [key] The `Idempotency-Key` of an action that the page itself repeats, such as after a reload.
 *
 * @typedef {object} Query
 * @property {string} [category]
 * @property {string} [q] Words to search for.
 * @property {string} [order_by] `name`, `price`, `created`, `updated` or a metadata key; a leading `-` reverses.
 * @property {number} [limit] 1 to 100.
 * @property {string} [starting_after] The last page's `next_cursor`.
 *
 * @typedef {object} Product
 * @property {string} id
 * @property {string} name
 * @property {string | null} description
 * @property {boolean} active
 * @property {string[]} images
 * @property {string[]} attributes The names of the attributes that its SKUs have.
 * @property {Record<string, string>} metadata
 * @property {boolean | null} shippable false: a digital product, which needs no parcel.
 * @property {Package | null} package_dimensions
 * @property {{data: Sku[]}} skus
 *
 * @typedef {object} Sku
 * @property {string} id
 * @property {boolean} active
 * @property {Record<string, string>} attributes
 * @property {number} price In the currency's smallest unit.
 * @property {string} currency
 * @property {string | null} image Its own picture; null: one of the product's.
 * @property {Package | null} package_dimensions Its own, or the product's; null for a digital product.
 * @property {{type: "finite" | "infinite" | "bucket", quantity: number | null, value: string | null}} inventory
 *
 * @typedef {{height: number, length: number, width: number, weight: number}} Package Inches, and ounces.
 *
 * @template T
 * @typedef {object} List
 * @property {T[]} data
 * @property {boolean} has_more
 * @property {number} total_count
 * @property {string | null} next_cursor
 *
 * @typedef {object} Item
 * @property {string} parent The SKU's id.
 * @property {number} quantity
 * @property {string} product The product's id.
 * @property {string | null} name Null, with all that follows, while the product is not known.
 * @property {string | null} image
 * @property {Record<string, string> | null} attributes
 * @property {number | null} price Of one piece, in the currency's smallest unit.
 * @property {string | null} currency
 * @property {number | null} amount Of all pieces.
 * @property {boolean | null} available Whether that many can be bought.
 *
 * @typedef {object} Summary
 * @property {Item[]} items With their current prices.
 * @property {number} item_count Pieces.
 * @property {string | null} currency Null when nothing can be bought.
 * @property {number} subtotal Of what can be bought, in the currency's smallest unit.
 * @property {number} discount What the code takes off: 0 or less.
 * @property {string | null} discount_code
 * @property {number} total Without shipping.
 * @property {Array<{parent: string, detail: string}>} problems Why a SKU cannot be bought, or a code does not apply.
 *
 * @typedef {object} Customer
 * @property {string} email
 * @property {string} phone As E.164: `+14155550123`.
 * @property {string} name
 * @property {{line1: string, line2?: string, city: string, state?: string, postal_code?: string, country: string}} address
 *
 * @typedef {object} Order
 * @property {string} id
 * @property {"created" | "paid" | "fulfilled" | "canceled" | "returned"} status
 * @property {number} amount In the currency's smallest unit.
 * @property {string} currency
 * @property {{status: string, failure: {detail: string | null, code: string | null} | null}} payment
 * @property {OrderItem[]} items
 * @property {{id: string, status: string, reason: string, amount: number, evidence_due_by: number | null} | null} dispute
 *   In Stripe's words.
 * @property {Array<{id: string, amount: number, description: string}>} shipping_methods None for digital products only.
 * @property {string | null} selected_shipping_method
 * @property {string | null} upstream_id The shipment's id; null when nothing is sent.
 * @property {string | null} status_url The order's page, for the shopper. Its parameter `token` opens the order.
 *
 * @typedef {object} OrderItem
 * @property {"sku" | "discount" | "tax" | "shipping"} type
 * @property {number} amount Of the line; a discount's is negative.
 * @property {string} description
 * @property {string | null} parent The SKU's id, the discount code, or the shipping method's id.
 * @property {number | null} quantity Null for anything but a SKU, and in partial refunds.
 */

/** One shop, as one shopper uses it. */
export class Shop {
  #base;
  #storage;
  #slot;
  #creating = null;

  /**
   * @param {string} [baseUrl] The shop's address; "" for the page's own origin.
   * @param {{storage?: Store | null}} [options] Where the cart's id is kept: `localStorage` by default, the memory of
   *   this object for null, or if the browser refuses the storage.
   */
  constructor(baseUrl = "", { storage = browserStorage() } = {}) {
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#storage = storage ?? memory();
    this.#slot = `shop:${this.#base}:cart_id`;
  }

  /** The cart's id, or null while there is none. @returns {string | null} */
  get cartId() {
    return this.#storage.getItem(this.#slot);
  }

  /** Forget the cart: the next shopper at this device gets a new one. */
  forget() {
    this.#storage.removeItem(this.#slot);
  }

  // --- Products

  /** @param {Query} [query] @param {Options} [options] @returns {Promise<List<Product>>} */
  products(query = {}, options) {
    return this.#send("GET", "/api/products/", { ...options, query });
  }

  /** @param {string} id @param {Options} [options] @returns {Promise<Product>} */
  product(id, options) {
    return this.#send("GET", path`/api/products/${id}/`, options);
  }

  // --- The cart

  /** Make a new cart, and use it from now on. @param {Options} [options] @returns {Promise<{cart_id: string}>} */
  async createCart(options) {
    const made = await this.#send("POST", "/api/cart/", options);
    this.#storage.setItem(this.#slot, made.cart_id);
    return made;
  }

  /** The cart's items. @param {Options} [options] @returns {Promise<Item[]>} */
  cart(options) {
    return this.#inCart("GET", "/api/cart/", options);
  }

  /** The cart with its current prices and its discount. @param {Options} [options] @returns {Promise<Summary>} */
  summary(options) {
    return this.#inCart("GET", "/api/cart/summary/", options);
  }

  /**
   * Put pieces of a product into the cart, in addition to those that are there.
   *
   * @param {string} productId
   * @param {number} [quantity]
   * @param {Options & {sku?: string, attributes?: Record<string, string>}} [options] Which SKU, if there are several: its
   *   id, or values of attributes that only it has.
   * @returns {Promise<Item[]>}
   */
  buy(productId, quantity = 1, { sku, attributes, ...options } = {}) {
    return this.#inCart("POST", path`/api/cart/${productId}/buy/`, { ...options, body: { quantity, sku, attributes } });
  }

  /**
   * @param {string} productId
   * @param {number} quantity
   * @param {Options & {sku?: string}} [options] Which SKU, if the cart has several of the product.
   * @returns {Promise<Item[]>}
   */
  setQuantity(productId, quantity, { sku, ...options } = {}) {
    return this.#inCart("PUT", path`/api/cart/${productId}/`, { ...options, body: { quantity, sku } });
  }

  /**
   * Remove a product, or one of its SKUs.
   *
   * @param {string} productId
   * @param {Options & {sku?: string}} [options]
   * @returns {Promise<Item[]>}
   */
  remove(productId, { sku, ...options } = {}) {
    return this.#inCart("DELETE", path`/api/cart/${productId}/`, { ...options, body: sku && { sku } });
  }

  /** Empty the cart. @param {Options} [options] @returns {Promise<Item[]>} */
  clear(options) {
    return this.#inCart("DELETE", "/api/cart/", options);
  }

  /**
   * Give the cart a discount code, in place of the one that it has.
   *
   * @param {string} code
   * @param {Options} [options]
   * @returns {Promise<Summary>}
   */
  applyDiscount(code, options) {
    return this.#inCart("POST", "/api/cart/discount/", { ...options, body: { code } });
  }

  /** @param {Options} [options] @returns {Promise<Summary>} */
  removeDiscount(options) {
    return this.#inCart("DELETE", "/api/cart/discount/", options);
  }

  // --- Orders

  /**
   * What the payment provider's own form needs.
   *
   * @param {Options} [options]
   * @returns {Promise<{publishable_key: string | null, currency: string, payment_method_types: string[]}>}
   */
  paymentOptions(options) {
    return this.#send("GET", "/api/payment/", options);
  }

  /** @param {Customer} customer @param {Options} [options] @returns {Promise<Order>} */
  checkout(customer, options) {
    return this.#inCart("POST", "/api/cart/checkout/", { ...options, body: customer });
  }

  /** @param {string} orderId @param {string} shippingId @param {Options} [options] @returns {Promise<Order>} */
  chooseShipping(orderId, shippingId, options) {
    const body = { order_id: orderId, shipping_id: shippingId };
    return this.#inCart("POST", "/api/cart/shipping/", { ...options, body });
  }

  /**
   * Pay. Throws a `Problem` with `decline_code` if the card is declined, or with `next_action` if the bank wants a
   * confirmation; pay again after it. If `payment.status` is `processing`, a bank settles the payment within days.
   *
   * @param {string} orderId
   * @param {string | null} card The payment provider's token; null for an order of 0.
   * @param {Options & {returnUrl?: string}} [options] `returnUrl`: the page to which a bank sends the shopper back.
   * @returns {Promise<Order>}
   */
  pay(orderId, card, { returnUrl, ...options } = {}) {
    const body = { order_id: orderId, ...(card !== null && { card }), return_url: returnUrl };
    return this.#inCart("POST", "/api/cart/paid/", { ...options, body });
  }

  /**
   * @param {string} id
   * @param {Options & {token?: string}} [options] `token`: that of the order's `status_url`, for a browser without the
   *   cart. It also opens the order's rates, label and tracking.
   * @returns {Promise<Order>}
   */
  order(id, { token, ...options } = {}) {
    return this.#owned("GET", path`/api/orders/${id}/`, { ...options, token });
  }

  /** Cancel an unpaid order. @param {string} id @param {Options} [options] @returns {Promise<Order>} */
  cancel(id, options) {
    return this.#inCart("POST", path`/api/orders/${id}/cancel/`, options);
  }

  // --- The parcel; the shipment's id is the order's `upstream_id`

  /** @param {string} shipmentId @param {string} currency @param {Options & {token?: string}} [options] */
  rates(shipmentId, currency, options) {
    return this.#owned("GET", path`/api/shipments/${shipmentId}/rates/${currency}/`, options);
  }

  /** @param {string} shipmentId @param {Options & {token?: string}} [options] */
  label(shipmentId, options) {
    return this.#owned("GET", path`/api/shipments/${shipmentId}/label/`, options);
  }

  /** @param {string} shipmentId @param {Options & {token?: string}} [options] */
  tracking(shipmentId, options) {
    return this.#owned("GET", path`/api/shipments/${shipmentId}/tracking/`, options);
  }

  // --- Sending

  /** For the order's token, or else for the cart. */
  #owned(method, where, { token, ...options } = {}) {
    if (!token) return this.#inCart(method, where, options);
    return this.#send(method, where, { ...options, headers: { "Order-Token": token } });
  }

  /** Send a request for the cart; make one if there is none, or if the shop does not know this one's id any more. */
  async #inCart(method, where, options) {
    const id = this.cartId ?? (await this.#newCart());
    try {
      return await this.#send(method, where, { ...options, headers: { "Cart-Id": id } });
    } catch (problem) {
      if (problem.status !== 400 || !problem.errors?.["Cart-Id"]) throw problem;
      if (this.cartId === id) this.forget();
      const other = this.cartId ?? (await this.#newCart());
      return this.#send(method, where, { ...options, headers: { "Cart-Id": other } });
    }
  }

  /** The id of a new cart; calls that need one at the same time share it. */
  #newCart() {
    this.#creating ??= this.createCart().finally(() => (this.#creating = null));
    return this.#creating.then((made) => made.cart_id);
  }

  /** Send a request, and repeat it where that is safe; the JSON of its answer. Throws a `Problem`. */
  async #send(method, where, { query = {}, body, headers = {}, signal, key } = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const url = this.#base + where + (given.length ? `?${new URLSearchParams(given)}` : "");
    const request = { method, headers: { Accept: "application/json", ...headers }, credentials: "omit" };
    if (body !== undefined) {
      request.headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    if (method === "POST") request.headers["Idempotency-Key"] = key ?? newKey();
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await once(url, request, signal);
      } catch (problem) {
        const wait = waitBeforeRepeating(problem);
        if (wait === null || attempt === MAX_ATTEMPTS) throw problem;
        await pause(wait, signal);
      }
    }
  }
}

/** Send a request once. */
async function once(url, request, signal) {
  signal?.throwIfAborted();
  const ended = new AbortController();
  const abort = () => ended.abort(signal.reason);
  const timer = setTimeout(() => ended.abort(new Error("timeout")), ATTEMPT_TIMEOUT_MS);
  signal?.addEventListener("abort", abort);
  try {
    const answer = await fetch(url, { ...request, signal: ended.signal });
    const found = await answer.json();
    if (answer.ok) return found;
    throw new Problem(found, Number(answer.headers.get("Retry-After")) || null);
  } catch (error) {
    if (error instanceof Problem) throw error;
    signal?.throwIfAborted();
    throw new Problem({
      type: "urn:shop:problem:unreachable",
      title: "The shop cannot be reached",
      status: 0,
      detail: "The shop did not answer. Check the connection and try again.",
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** Seconds after which the call may be repeated; null: it must not be, or it is too long for a page to wait. */
function waitBeforeRepeating(problem) {
  if (problem.status === 0) return LOST_RETRY_AFTER_S;
  if (!REPEATABLE.has(problem.status) || problem.retryAfter === null) return null;
  return problem.retryAfter <= MAX_RETRY_AFTER_S ? problem.retryAfter : null;
}

function pause(seconds, signal) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** A path whose parts cannot change it. */
function path(texts, ...parts) {
  return String.raw({ raw: texts }, ...parts.map(encodeURIComponent));
}

/** A key that nobody can guess; `crypto.randomUUID` exists only over TLS and on localhost. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {Store} */
function memory() {
  const kept = new Map();
  return {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => void kept.set(name, value),
    removeItem: (name) => void kept.delete(name),
  };
}

/** `localStorage`, or null where the browser refuses it. @returns {Store | null} */
function browserStorage() {
  try {
    const probe = "shop:probe";
    localStorage.setItem(probe, probe);
    localStorage.removeItem(probe);
    return localStorage;
  } catch {
    return null;
  }
}
