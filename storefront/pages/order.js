// A placed order: what was bought, what was sent, and where the parcel is.

import { fill, h, icon, link } from "../html.js";
import * as shop from "../shop.js";
import { address, receipt } from "../summary.js";
import { country, moment, money } from "../words.js";

const SOON_MS = 3000;
const LATEST_MS = 30_000;
// A bank debit takes days: how much longer each pause is than the one before it, and the longest.
const DEBIT_GROWTH = 1.5;
const DEBIT_LATEST_MS = 10 * 60_000;
const PARCEL = {
  UNKNOWN: "The label is made; the carrier has not seen the parcel yet",
  PRE_TRANSIT: "The label is made; the parcel waits for the carrier",
  TRANSIT: "On its way",
  DELIVERED: "Delivered",
  RETURNED: "On its way back to us",
  FAILURE: "The carrier could not deliver it",
};
const STAGES = [
  ["Paid", "paid"],
  ["With the carrier", "TRANSIT"],
  ["Delivered", "DELIVERED"],
];
// The states of a dispute in which the shopper's bank has decided.
const DECIDED = ["won", "lost", "warning_closed", "prevented"];
const TITLES = {
  created: "This order is not paid yet",
  paid: "Your order",
  fulfilled: "Your order",
  canceled: "This order was canceled",
  returned: "This order was refunded",
};
// An order that is not paid, by the status of its payment.
const UNPAID_TITLES = {
  processing: "Your bank is processing your payment",
  requires_action: "Your bank has not confirmed your payment yet",
  failed: "Your payment was not made",
  taken: "We have your payment",
};
const PAY = { requires_action: "Go on with the payment", failed: "Pay again" };

export default async function orderPage({ id, query, signal, announce }) {
  // A bank has sent the shopper back, and Stripe has appended what it knows. The payment's secret must not stay there.
  const returned = query.get("redirect_status");
  if (returned) history.replaceState(history.state, "", location.pathname);
  let order;
  try {
    order = await shop.order(id, signal);
  } catch (error) {
    if (returned && error.status === 404) return elsewhere(returned);
    throw error;
  }
  if (returned && shop.isOpen(order))
    return { go: `/checkout/${id}/payment?${new URLSearchParams({ returned })}` };
  if (returned) return { go: shop.thanks(order) };
  let track = await trackOf(order, signal);
  const content = h("div.wide");
  const parcel = h("section.panel.parcel", { "aria-labelledby": "parcel-title" });
  const sent = h("div");
  show();

  function show() {
    const isNew = query.has("thanks") && ["paid", "fulfilled"].includes(order.status);
    const { shipping } = order;
    fill(parcel, parcelOf(order, track));
    fill(sent, messages(order));
    fill(
      content,
      isNew
        ? h(
            "div.thanks",
            null,
            icon("m5 12.5 4.5 4.5L19 7.5"),
            h(
              "div",
              null,
              h("h1", null, "Thank you"),
              h(
                "p",
                null,
                `${money(order.amount, order.currency)} paid.`,
                h("br"),
                h("span.order-number", null, `Order ${order.id}`),
              ),
            ),
          )
        : h("div.list-head", null, h("h1", null, titleOf(order)), h("p.found", null, order.id)),
      order.dispute &&
        !DECIDED.includes(order.dispute.status) &&
        h("p.note.hint-note", null, "Your bank has asked us about this payment, and will decide about it."),
      order.status === "created" && unpaid(order),
      h(
        "div.two-columns",
        null,
        h(
          "div",
          null,
          hasParcel(order) && shipping.address && order.upstream_id ? parcel : null,
          sent,
        ),
        h(
          "aside.panel",
          { "aria-labelledby": "receipt-title" },
          h("h2", { id: "receipt-title" }, "Receipt"),
          h("p.small", null, `${moment(order.status_transitions.paid ?? order.created)}`),
          receipt(order),
          h("h3", null, "Goes to"),
          address(shipping, country),
          order.status_url &&
            h(
              "p.small",
              null,
              h("a", { href: order.status_url }, "This order on any device"),
              " – keep the link, it needs no account.",
            ),
        ),
      ),
    );
  }

  // --- The payment is settled, and the parcel moves, while the page is open

  let timer;
  let pause = SOON_MS;
  function watch() {
    timer = setTimeout(async () => {
      const wasPaid = isPaid(order);
      if (document.visibilityState === "visible") await look().catch(() => {});
      if (isPaid(order) !== wasPaid) pause = SOON_MS;
      else if (isPaid(order)) pause = Math.min(pause * 1.05, LATEST_MS);
      else pause = Math.min(pause * DEBIT_GROWTH, DEBIT_LATEST_MS);
      if (!signal.aborted && isMoving(order, track)) watch();
    }, pause);
  }
  async function look() {
    const before = statusOf(track);
    const titleBefore = titleOf(order);
    const known = JSON.stringify([order, track]);
    const fresh = await shop.order(id, signal);
    const moved = await trackOf(fresh, signal);
    if (signal.aborted || JSON.stringify([fresh, moved]) === known) return;
    order = fresh;
    track = moved ?? track;
    const focused = content.contains(document.activeElement) ? document.activeElement.textContent : null;
    show();
    if (focused !== null)
      [...content.querySelectorAll("a, summary")]
        .find((each) => each.textContent === focused)
        ?.focus({ preventScroll: true });
    const now = statusOf(track);
    if (now && now !== before) announce(`Your parcel: ${PARCEL[now] ?? now}.`);
    else if (titleOf(order) !== titleBefore)
      announce(isPaid(order) ? "Your payment has arrived." : `${titleOf(order)}.`);
    if (!shop.isOpen(order)) shop.remember(order);
  }
  if (!shop.isOpen(order)) shop.remember(order);
  if (isMoving(order, track)) watch();
  return { title: "Your order", content, leave: () => clearTimeout(timer) };
}

/** What a shopper sees whose bank leads to another browser than the one with the order. */
const elsewhere = (status) => ({
  title: "Your payment",
  content: h(
    "div.narrow.message-page",
    null,
    icon("M3 9.5 12 4l9 5.5", "M5 10v8", "M10 10v8", "M14 10v8", "M19 10v8", "M3 20h18"),
    h("h1", null, status === "failed" ? "Your payment was not made" : "Your payment goes on"),
    h(
      "p",
      null,
      status === "failed"
        ? "Go back to the browser in which you ordered, and pay again there."
        : "You ordered in another browser, and need not go back to it. Our mail about the order has a link to its page.",
    ),
    h("p.actions", null, h("a.button.quiet", { href: "/" }, "Go to the shop")),
  ),
});

// A returned order has no parcel once its labels were given back.
const hasParcel = (order) => isPaid(order) || (order.status === "returned" && order.labels.length > 0);
const isPaid = (order) => ["paid", "fulfilled"].includes(order.status);
// A cart service of the previous release shows no payment.
const paymentOf = (order) => order.payment ?? { status: "unpaid", failure: null };
const titleOf = (order) =>
  (order.status === "created" && UNPAID_TITLES[paymentOf(order).status]) || (TITLES[order.status] ?? "Your order");

/** Whether something is expected that the page shows: the bank's answer, or the carrier's. */
function isMoving(order, track) {
  if (order.status === "created") return ["processing", "requires_action", "taken"].includes(paymentOf(order).status);
  return isPaid(order) && statusOf(track) !== "DELIVERED";
}

/** What is known about the payment, and the way to pay. */
function unpaid(order) {
  const { status, failure } = paymentOf(order);
  if (status === "processing")
    return h(
      "p.note.hint-note",
      null,
      icon("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z", "M12 7v5.2l3.4 2"),
      h(
        "span",
        null,
        "You chose to pay from a bank account. The bank takes a few days, at most 14 business days. You need not do ",
        "anything: your order is reserved. We will write to you once the payment arrives.",
      ),
    );
  if (status === "taken")
    return h(
      "p.note.hint-note",
      null,
      "But we cannot fill your order, for example because a product has sold out. You need not do anything: ",
      "we will write to you.",
    );
  return [
    failure &&
      h(
        "div.note.bad",
        null,
        icon("M12 4 2.5 20h19L12 4Z", "M12 10v4.5", "M12 17.2v.1"),
        h("p", null, [failure.detail, "Nothing was charged. You can pay again."].filter(Boolean).join(" ")),
      ),
    h("p.actions", null, link(`/checkout/${order.id}/payment`, { class: "button" }, PAY[status] ?? "Pay now")),
  ];
}

async function trackOf(order, signal) {
  if (!order.shipping.tracking_number || !order.upstream_id) return null;
  return shop.tracking(order.upstream_id, signal).catch(() => null);
}

/** The status of the parcel. Of several: that of one that does not arrive, or else of all together. */
function statusOf(track) {
  const first = track?.tracking_status?.status ?? null;
  const all = [first, ...(track?.parcels ?? []).slice(1).map((each) => each.status)];
  const lost = ["FAILURE", "RETURNED"].find((each) => all.includes(each));
  const differ = all.some((each) => each !== first) && all.some((each) => ["TRANSIT", "DELIVERED"].includes(each));
  return lost ?? (differ ? "TRANSIT" : first);
}

/** The tracking number of each parcel. Of labels that were given back, the order keeps the first. */
function numbersOf(order) {
  const numbers = order.labels.map((each) => each.tracking_number);
  return (numbers.length ? numbers : [order.shipping.tracking_number]).filter(Boolean);
}

function parcelOf(order, track) {
  const status = statusOf(track);
  const history = [...(track?.tracking_history ?? [])].reverse();
  const reached = status === "DELIVERED" ? 2 : status === "TRANSIT" || order.status === "fulfilled" ? 1 : 0;
  const numbers = numbersOf(order);
  const isUsual = !["RETURNED", "FAILURE"].includes(status);
  return [
    h("h2", { id: "parcel-title" }, "Your parcel"),
    isUsual &&
      h(
        "ol.stages",
        null,
        STAGES.map(([name], place) =>
          h(
            "li",
            { class: place <= reached ? "reached" : null, "aria-current": place === reached ? "step" : null },
            h("span", null, name),
          ),
        ),
      ),
    h(
      "p",
      null,
      status ? `${PARCEL[status] ?? status}.` : "We are getting its label. This page shows it as soon as it is there.",
    ),
    numbers.length > 0 &&
      h(
        "p",
        null,
        `${order.shipping.carrier}, tracking number${numbers.length > 1 ? "s" : ""} `,
        numbers.map((each, place) => [place > 0 && ", ", h("strong.number", null, each)]),
      ),
    history.length > 0 &&
      h(
        "ol.history",
        null,
        history.map((each) =>
          h(
            "li",
            null,
            h("time", null, moment(each.status_date)),
            h("span", null, each.status_details || PARCEL[each.status] || each.status),
            each.location?.city &&
              h("span.small", null, [each.location.city, each.location.state].filter(Boolean).join(", ")),
          ),
        ),
      ),
    order.labels.length > 0 &&
      h(
        "p.actions",
        null,
        order.labels.map(({ label_url }, place) =>
          h(
            "a.button.quiet.small",
            { href: label_url, target: "_blank", rel: "noopener" },
            order.labels.length > 1 ? `Label ${place + 1} (PDF)` : "Shipping label (PDF)",
          ),
        ),
      ),
  ];
}

function messages(order) {
  if (order.status === "created" || order.status === "canceled") return null;
  const known = order.notifications ?? {};
  const say = (message, what, to) => {
    const code = message?.["status code"];
    if (!to || code === "not sent") return null;
    const lost = code === "failed" || ["failed", "bounced"].includes(message?.status);
    if (lost) return `${what} could not be delivered to ${to}.`;
    return code && code !== "queued" ? `${what} was sent to ${to}.` : `${what} goes to ${to}.`;
  };
  const said = [
    say(known.email, "The receipt", order.email),
    say(known.sms, "A text message", order.shipping.phone),
  ].filter(Boolean);
  const sandbox = order.label_url && new URL(order.label_url, location.href);
  const isSandbox = sandbox && sandbox.pathname.startsWith("/sandbox/");
  return [
    said.length > 0 &&
      h(
        "section.messages",
        null,
        h("h2", null, "Messages"),
        h(
          "ul",
          null,
          said.map((each) => h("li", null, each)),
        ),
      ),
    isSandbox &&
      h(
        "p.note.hint-note",
        null,
        icon("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z", "M12 11v5.5", "M12 7.5v.2"),
        h(
          "span",
          null,
          "The sandbox plays every provider. ",
          h(
            "a",
            { href: `${sandbox.origin}/sandbox/`, target: "_blank", rel: "noopener" },
            "See the mail, the text message and the charge",
          ),
          ".",
        ),
      ),
  ];
}
