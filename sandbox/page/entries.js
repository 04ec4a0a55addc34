/** What each kind of entry shows: its line in the list, its buttons, and its details. */

import { el, moment } from "./dom.js";

export const KINDS = {
  mail: "Mails",
  sms: "SMS",
  label: "Labels",
  charge: "Charges",
  refund: "Refunds",
  dispute: "Disputes",
  warning: "Fraud warnings",
  tax: "Taxes",
  payment: "Bank",
  webhook: "Webhooks",
};
const ONE = {
  mail: "Mail",
  sms: "SMS",
  label: "Label",
  charge: "Charge",
  refund: "Refund",
  dispute: "Dispute",
  warning: "Fraud warning",
  tax: "Tax transaction",
  payment: "Bank confirmation",
  webhook: "Webhook",
};
const PROVIDERS = { stripe: "Stripe", shippo: "Shippo", twilio: "Twilio", sendgrid: "SendGrid" };
const STEPS = ["PRE_TRANSIT", "TRANSIT", "DELIVERED"];
const TRACKING = {
  UNKNOWN: "unknown",
  PRE_TRANSIT: "label bought",
  TRANSIT: "in transit",
  DELIVERED: "delivered",
  RETURNED: "returned",
  FAILURE: "delivery failed",
};
const SMS_TONES = { delivered: "good", undelivered: "bad", failed: "bad" };
const words = (code) => (code ?? "").toLowerCase().replaceAll("_", " ");

/**
 * Return the line of an entry: {kind, title, badge: [tone, text], facts: (Node|string)[], actions}.
 * An action is {name, label, strong, method, path, body, done}: the request of a button, and the sentence after it.
 */
export function line(entry) {
  return { kind: ONE[entry.kind], badge: null, facts: [], actions: [], ...LINES[entry.kind](entry) };
}

const LINES = {
  mail: (entry) => ({
    title: entry.subject || "(no subject)",
    badge: entry.outcomes.length > 0 ? [entry.outcomes.every((each) => each === "deferred") ? "warn" : "bad", entry.outcomes.join(", ")] : null,
    facts: [
      `to ${entry.to.join(", ")}`,
      entry.preview && el("span", { class: "preview" }, entry.preview),
      entry.attachments.length > 0 && `attached: ${entry.attachments.join(", ")}`,
    ],
  }),
  sms: (entry) => ({
    title: entry.text || "(no text)",
    badge: [SMS_TONES[entry.status] ?? "plain", entry.status],
    facts: [
      entry.status === "received" ? `from ${entry.from}` : `to ${entry.to}`,
      entry.segments > 1 && `${entry.segments} segments`,
      entry.problem && `${entry.error_code}: ${entry.problem}`,
    ],
    actions: entry.status === "received"
      ? [{ ...reply(entry.from, "START"), label: "Start messages again" }]
      : [{ ...reply(entry.to, "STOP"), label: "Reply STOP" }],
  }),
  label: (entry) => ({
    title: [entry.carrier, entry.service].filter(Boolean).join(" "),
    badge: labelBadge(entry),
    facts: [entry.to && `to ${entry.to}`, entry.price, entry.tracking_number, entry.problem],
    actions: [
      entry.next_status && {
        ...move(entry, entry.next_status),
        name: "move",
        label: `Move this parcel: ${TRACKING[entry.next_status]}`,
        strong: true,
      },
      ...(entry.status === "QUEUED"
        ? [
            { ...end(entry, "SUCCESS"), label: "Sell this label", strong: true, done: "The label is bought." },
            { ...end(entry, "ERROR"), label: "Refuse", done: "The purchase has failed." },
          ]
        : []),
      ...(entry.status === "REFUNDPENDING"
        ? [
            { ...refund(entry, "SUCCESS"), label: "Refund this label", strong: true, done: "The label is refunded." },
            { ...refund(entry, "ERROR"), label: "Reject", done: "The refund is rejected." },
          ]
        : []),
    ].filter(Boolean),
  }),
  charge: (entry) => ({
    title: `${entry.amount} ${entry.status === "failed" ? "not charged" : entry.captured ? "charged" : "authorized"}`,
    badge: chargeBadge(entry),
    facts: [entry.card, entry.refunded && !entry.fully_refunded && `${entry.refunded} refunded`],
    actions:
      entry.status === "succeeded" && entry.captured && !entry.disputed
        ? [
            {
              name: "dispute",
              label: "Dispute this charge",
              method: "POST",
              path: `/sandbox/charges/${entry.id}/dispute`,
              body: {},
              done: "The charge is disputed.",
            },
          ]
        : [],
  }),
  dispute: (entry) => ({
    title: `${entry.amount} disputed${entry.is_inquiry ? ": an inquiry" : ""}`,
    badge: [{ won: "good", lost: "bad", warning_closed: "plain" }[entry.status] ?? "warn", words(entry.status)],
    facts: [words(entry.reason), entry.withdrawn && entry.status !== "won" && `${entry.withdrawn} withdrawn`],
    actions: entry.is_open
      ? [
          { ...verdict(entry, "won"), label: "The shop wins", done: "The dispute is won." },
          { ...verdict(entry, "lost"), label: "The shop loses", done: "The dispute is lost." },
          entry.is_inquiry && { ...verdict(entry, "escalated"), label: "Charge back", done: "It is charged back." },
        ].filter(Boolean)
      : [],
  }),
  warning: (entry) => ({
    title: "The card's issuer reports a fraud",
    badge: entry.actionable ? ["warn", "actionable"] : ["plain", "settled"],
    facts: [words(entry.fraud_type)],
  }),
  refund: (entry) => ({
    title: `${entry.amount} ${entry.status === "failed" ? "not refunded" : "refunded"}`,
    badge: [{ succeeded: "good", failed: "bad" }[entry.status] ?? "plain", words(entry.status)],
    facts: [entry.reason && words(entry.reason), entry.failure && words(entry.failure)],
    actions: [
      entry.status === "pending" && {
        ...settle("refunds", entry, "succeed"),
        label: "Complete this refund",
        done: "The refund is complete.",
      },
      ["pending", "succeeded"].includes(entry.status) && {
        ...settle("refunds", entry, "fail"),
        label: "Let this refund fail",
        done: "The refund failed.",
      },
    ].filter(Boolean),
  }),
  tax: (entry) => ({
    title: `${entry.tax} tax, total ${entry.amount}`,
    badge: entry.type === "reversal" ? ["plain", "reversal"] : ["good", "recorded"],
    facts: [entry.reference, `to ${entry.destination}`],
  }),
  payment: (entry) => {
    const asks = entry.status === "requires_action";
    if (entry.status === "processing") {
      return {
        title: `${entry.amount}: the bank account is debited`,
        badge: ["warn", "processing"],
        actions: [
          { ...settle("payments", entry, "succeed"), label: "Complete this payment", done: "The payment succeeded." },
          { ...settle("payments", entry, "fail"), label: "Let this payment fail", done: "The payment failed." },
        ],
      };
    }
    return {
      title: asks ? `${entry.amount}: the bank asks the shopper` : `${entry.amount}: the bank has its answer`,
      badge: asks
        ? ["warn", "waits for the shopper"]
        : entry.status === "succeeded"
          ? ["good", "confirmed"]
          : entry.status === "requires_capture"
            ? ["good", "authorized"]
            : entry.status === "canceled"
              ? ["plain", "canceled"]
              : ["bad", entry.failure?.startsWith("payment_intent_auth") ? "refused" : "not paid"],
      actions: asks
        ? [
            { ...bank(entry, "succeed"), label: "Confirm this card", strong: true, done: "The card is confirmed." },
            { ...bank(entry, "fail"), label: "Refuse", done: "The confirmation is refused." },
          ]
        : [],
    };
  },
  webhook: (entry) => ({
    title: `${PROVIDERS[entry.provider]} ${entry.event}`,
    badge: webhookBadge(entry),
    facts: [entry.last_error],
    actions: [
      {
        name: "twice",
        label: "Send this webhook twice",
        method: "POST",
        path: `/sandbox/feed/webhook/${entry.id}/repeat`,
        body: { times: 2 },
        done: `${entry.event} is sent twice.`,
      },
    ],
  }),
};

const move = (entry, status) => ({
  method: "POST",
  path: `/sandbox/tracks/${entry.tracking_number}`,
  body: { status },
  done: `The parcel is now: ${TRACKING[status]}.`,
});

const settle = (kind, entry, result) => ({
  name: result,
  method: "POST",
  path: `/sandbox/${kind}/${entry.id}`,
  body: { result },
});

const end = (entry, status) => ({
  name: `end-${status}`,
  method: "POST",
  path: `/sandbox/transactions/${entry.id}`,
  body: { status },
});

const refund = (entry, status) => ({
  name: `refund-${status}`,
  method: "POST",
  path: `/sandbox/label-refunds/${entry.id}`,
  body: { status },
});

const reply = (number, body) => ({
  name: body,
  method: "POST",
  path: "/sandbox/sms",
  body: { from: number, body },
  done: `${number} sent ${body}.`,
});

/** Return the buttons that decide what becomes of the next messages to a number or an address: {label: outcome}. */
function outcomes(address, choices, button) {
  return el("div", { class: "actions" },
    el("span", { class: "muted" }, `The next ones to ${address} are:`),
    ...Object.entries(choices).map(([label, outcome]) => button({
      name: `${label} ${address}`,
      label,
      method: "PUT",
      path: `/sandbox/recipients/${encodeURIComponent(address)}`,
      body: { outcome },
      done: `The next ones to ${address} are ${label}.`,
    })));
}

const bank = (entry, result) => ({ name: result, method: "POST", path: entry.page, body: { result } });

const verdict = (entry, result) => ({
  name: result,
  method: "POST",
  path: `/sandbox/disputes/${entry.id}`,
  body: { result },
});

function labelBadge(entry) {
  if (entry.status === "ERROR") return ["bad", "not bought"];
  if (entry.status !== "SUCCESS") return ["plain", words(entry.status).replace(/^refund(?=.)(?!ed)/, "refund ")];
  const tone = { DELIVERED: "good", RETURNED: "bad", FAILURE: "bad", TRANSIT: "info" }[entry.tracking_status];
  return [tone ?? "plain", TRACKING[entry.tracking_status]];
}

function chargeBadge(entry) {
  if (entry.status === "failed") return ["bad", words(entry.failure)];
  if (entry.disputed) return ["bad", "disputed"];
  if (entry.status === "pending") return ["warn", "pending"];
  if (entry.fully_refunded) return ["plain", "refunded"];
  return entry.captured ? ["good", "paid"] : ["plain", "not captured"];
}

function webhookBadge(entry) {
  const { state, tries, deliveries, last_status: status } = entry;
  if (state === "lost") return ["bad", "lost"];
  const answer = status ? ` · ${status}` : "";
  if (state === "given_up") return ["bad", `given up after ${tries} attempts${answer}`];
  if (state === "delivered") return ["good", `delivered${deliveries > 1 ? ` ${deliveries}×` : ""}${answer}`];
  if (deliveries > 0) return ["plain", "sending again"];
  return tries > 0 ? ["warn", `failed ${tries}×${answer}, retrying`] : ["plain", "waiting"];
}

/** Return the steps of a parcel as a small drawing for the line, or null for other entries. */
export function steps(entry) {
  if (entry.kind !== "label" || entry.status !== "SUCCESS") return null;
  const reached = STEPS.indexOf(entry.tracking_status);
  if (reached < 0) return null;
  return el("span", { class: "steps", "aria-hidden": "true" }, ...STEPS.map((_, place) =>
    el("span", { class: place <= reached ? "reached" : "" })));
}

/** Return the part of an entry's details that never changes: {entry, object} of the sandbox. */
export function lasting({ entry, object }) {
  if (entry.kind === "mail") return mail(entry, object);
  if (entry.kind === "sms") return [el("p", { class: "bubble" }, entry.text)];
  if (entry.kind === "label" && entry.pdf) {
    return [
      el("p", {}, el("a", { href: entry.pdf, target: "_blank" }, "Open the label as PDF")),
      el("iframe", { class: "pdf", src: `${entry.pdf}#toolbar=0&view=Fit`, title: `Label ${entry.tracking_number}` }),
    ];
  }
  return [];
}

/** Return the part of an entry's details that changes; `button(action)` returns a button for an action. */
export function changing({ entry, object }, button) {
  return [...(CHANGING[entry.kind]?.(entry, object, button) ?? []), json(object)];
}

const MAIL_OUTCOMES = {
  delivered: null,
  bounced: "bounce",
  blocked: "blocked",
  deferred: "deferred",
  "reported as spam": "spamreport",
  unsubscribed: "unsubscribe",
};
const CHANGING = {
  mail: (entry, object, button) => entry.to.slice(0, 20).map((address) => outcomes(address, MAIL_OUTCOMES, button)),
  sms: (entry, object, button) => [
    list([
      ["From", entry.from],
      ["To", entry.to],
      ["Segments", entry.segments],
      ["Message", el("code", {}, object.sid)],
    ]),
    entry.status !== "received" && outcomes(entry.to, { delivered: null, undelivered: "undelivered", failed: "failed" }, button),
  ],
  label: (entry, object, button) => [
    el("div", { class: "columns" },
      address("From", object.address_from),
      address("To", object.address_to),
      el("section", {},
        el("h4", {}, "Parcel"),
        entry.problem
          ? el("p", {}, entry.problem)
          : el("ol", { class: "history" }, ...object.tracking_history.map((step) =>
              el("li", {}, TRACKING[step.status], " ", moment(step.at)))))),
    entry.tracking_number && entry.status === "SUCCESS"
      ? el("div", { class: "actions" }, el("span", { class: "muted" }, "Set the status:"), ...Object.keys(TRACKING)
          .filter((status) => status !== entry.tracking_status && status !== "UNKNOWN")
          .map((status) => button({ ...move(entry, status), name: status, label: TRACKING[status] })))
      : null,
  ],
  charge: (entry, object) => [
    list([
      ["Charge", el("code", {}, entry.id)],
      ["Payment", el("code", {}, object.payment_intent)],
      ["Card", entry.card],
      entry.status === "failed" ? ["Declined", object.failure_message] : null,
      entry.refunded ? ["Refunded", entry.refunded] : null,
    ]),
  ],
  refund: (entry) => [
    list([
      ["Refund", el("code", {}, entry.id)],
      ["Charge", el("code", {}, entry.charge)],
    ]),
  ],
  dispute: (entry, object) => [
    list([
      ["Dispute", el("code", {}, entry.id)],
      ["Charge", el("code", {}, entry.charge)],
      ["Evidence", object.evidence_details.has_evidence ? "given" : "none"],
      ["Respond by", moment(object.evidence_details.due_by)],
    ]),
  ],
  warning: (entry) => [
    list([
      ["Warning", el("code", {}, entry.id)],
      ["Charge", el("code", {}, entry.charge)],
    ]),
  ],
  tax: (entry) => [
    list([
      ["Transaction", el("code", {}, entry.id)],
      ["Reference", entry.reference],
      entry.reverses ? ["Reverses", el("code", {}, entry.reverses)] : null,
    ]),
  ],
  payment: (entry) => [
    list([
      ["Payment", el("code", {}, entry.id)],
      entry.status === "requires_action"
        ? ["As a shopper", el("a", { href: entry.page, target: "_blank" }, "the bank's page")]
        : null,
      entry.failure ? ["Error", words(entry.failure)] : null,
    ]),
  ],
  webhook: (entry, object) => [
    object.attempts.length === 0
      ? el("p", { class: "muted" }, entry.state === "lost"
          ? "The switch “Lost” swallowed it: it is never sent, as if the network had lost it."
          : "Not sent yet.")
      : el("table", { class: "attempts" },
          el("caption", {}, entry.tries > object.attempts.length ? `The last of ${entry.tries} attempts` : "Attempts"),
          el("tbody", {}, ...object.attempts.map((attempt) =>
            el("tr", {},
              el("td", {}, moment(attempt.at)),
              el("td", {}, attempt.status ? `answered ${attempt.status}` : attempt.error))))),
    entry.state === "waiting" && entry.due
      ? el("p", { class: "muted" }, "The next attempt is due at ", moment(entry.due), ".")
      : null,
  ],
};

function mail(entry, object) {
  const frame = el("iframe", {
    class: "mail",
    title: `Mail: ${entry.subject}`,
    // Nothing runs in it, and it has no part in this page's origin; its links open a new tab.
    sandbox: "allow-popups allow-popups-to-escape-sandbox",
    referrerpolicy: "no-referrer",
    src: `/sandbox/mails/${entry.id}`,
  });
  const parts = [
    entry.html && ["HTML", `/sandbox/mails/${entry.id}`],
    entry.text && ["Text", `/sandbox/mails/${entry.id}?part=text`],
  ].filter(Boolean);
  const tabs = parts.map(([name, source], place) =>
    el("button", {
      type: "button",
      class: "tab",
      "aria-pressed": String(place === 0),
      on: {
        click: (event) => {
          for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab === event.currentTarget));
          frame.src = source;
        },
      },
    }, name));
  return [
    list([
      ["From", entry.from],
      ["To", entry.to.join(", ")],
      entry.attachments.length > 0 ? ["Attached", entry.attachments.join(", ")] : null,
    ]),
    el("div", { class: "tabs" },
      el("div", { role: "group", "aria-label": "Part of the mail" }, ...tabs),
      el("a", { href: `/sandbox/mails/${entry.id}`, target: "_blank" }, "Open in a new tab")),
    frame,
  ];
}

function list(rows) {
  return el("dl", {}, ...rows.filter(Boolean).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value ?? "–")))));
}

function address(title, one) {
  const town = [one?.city, one?.state, one?.zip].filter(Boolean).join(" ");
  const lines = [one?.name, one?.company, one?.street1, one?.street2, one?.street3, town, one?.country].filter(Boolean);
  return el("section", {}, el("h4", {}, title), el("p", {}, ...lines.flatMap((each) => [each, el("br")])));
}

function json(object) {
  return el("details", { class: "json", "data-focus": "json" },
    el("summary", { "data-focus": "json-summary" }, "JSON"),
    el("pre", { tabindex: "0" }, JSON.stringify(object, null, 2)));
}
