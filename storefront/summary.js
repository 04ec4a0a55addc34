// The lines and the sum of an order, and the steps of the checkout.

import { h, link } from "./html.js";
import { money } from "./words.js";

const STEPS = [
  ["Address", () => "/checkout"],
  ["Delivery", (id) => `/checkout/${id}/delivery`],
  ["Payment", (id) => `/checkout/${id}/payment`],
];

/** Where the shopper is in the checkout; the steps behind are links. */
export function steps(current, id) {
  return h(
    "nav.steps",
    { "aria-label": "Checkout" },
    h(
      "ol",
      null,
      STEPS.map(([name, href], place) =>
        h(
          "li",
          { "aria-current": place === current ? "step" : null, class: place < current ? "done" : null },
          place < current ? link(href(id), null, name) : h("span", null, name),
        ),
      ),
    ),
  );
}

/** The receipt of an order: what is in it, and what it costs. */
export function receipt(order) {
  const { currency, items } = order;
  const row = (name, amount, props) =>
    h("tr", props, h("th", { scope: "row" }, name), h("td", null, money(amount, currency)));
  const goods = items.filter((item) => item.type === "sku");
  // A shop that calculates no tax has only this to say about it.
  const further = items.filter((item) => item.type !== "sku" && item.description !== "Taxes (included)");
  return h(
    "table.receipt",
    null,
    h("caption.hidden", null, "What is in this order"),
    h(
      "tbody",
      null,
      goods.map((item) => row([`${item.description} `, h("span.times", null, `× ${item.quantity}`)], item.amount)),
    ),
    h(
      "tbody",
      null,
      further.map((item) => row(item.description || names[item.type] || item.type, item.amount, { class: item.type })),
      order.amount_returned > 0 && row("Refunded", -order.amount_returned),
    ),
    h("tfoot", null, row("Total", order.amount)),
  );
}
const names = { tax: "Tax", shipping: "Delivery", discount: "Discount" };

/** An address in lines. */
export function address({ name, address: { line1, line2, city, state, postal_code, country } }, nameOf) {
  const lines = [
    name,
    line1,
    line2,
    [city, [state, postal_code].filter(Boolean).join(" ")].filter(Boolean).join(", "),
    nameOf(country),
  ];
  return h(
    "address",
    null,
    lines.filter(Boolean).map((line) => h("span", null, line)),
  );
}
