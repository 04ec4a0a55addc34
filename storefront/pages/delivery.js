// The second step of the checkout: which carrier brings it, when, and for how much.

import { busy, clear, fill, h } from "../html.js";
import { canRepeat, problemBox } from "../problems.js";
import * as shop from "../shop.js";
import { address, receipt, steps } from "../summary.js";
import { country, day, money, title } from "../words.js";

export default async function delivery({ id, signal, go, announce }) {
  let order = await shop.order(id, signal);
  if (order.status !== "created") return { go: `/order/${id}` };
  if (!order.shipping_methods.length) return { go: `/checkout/${id}/payment` };
  const methods = [...order.shipping_methods].sort((one, other) => one.amount - other.amount);
  const soonest = methods.map(lastDay).filter(Boolean).sort()[0];
  const mark = (method) => {
    const words = [method === methods[0] && "cheapest", lastDay(method) === soonest && soonest && "fastest"].filter(
      Boolean,
    );
    return methods.length > 1 && words.length > 0 && h("span.mark", null, title(words.join(" and ")));
  };
  const outcome = h("div.outcome");
  const sums = h("div", null, receipt(order));
  const submit = h("button.button.large", { type: "submit" }, "Continue to payment");

  const checked = () => form.querySelector("input:checked")?.value ?? null;
  const check = (method) => form.querySelectorAll("input").forEach((each) => (each.checked = each.value === method));

  // One choice is sent at a time, and after it the one that is checked by then. Gives whether all went well.
  let choosing = null;
  const settle = () => (choosing ??= choose().finally(() => (choosing = null)));
  let chosen = order.selected_shipping_method;

  async function choose() {
    clear(outcome, form.querySelector("input:checked") ?? submit);
    for (let wanted = checked(); wanted !== chosen; wanted = checked()) {
      try {
        order = await shop.chooseShipping(id, wanted);
      } catch (error) {
        if (canRepeat(error)) chosen = null; // the shop may have done it
        check(order.selected_shipping_method);
        const again = () => {
          check(wanted);
          return settle();
        };
        fill(outcome, problemBox(error, { again }));
        return false;
      }
      if (signal.aborted) return false;
      chosen = wanted;
      fill(sums, receipt(order));
      const { description } = methods.find((method) => method.id === wanted);
      announce(`${description}. The total is ${money(order.amount, order.currency)}.`);
    }
    return true;
  }

  const form = h(
    "form.form",
    null,
    h(
      "fieldset.options",
      null,
      h("legend.hidden", null, "Delivery"),
      methods.map((method) =>
        h(
          "label.option",
          null,
          h("input", {
            type: "radio",
            name: "method",
            value: method.id,
            checked: method.id === order.selected_shipping_method,
            onchange: settle,
          }),
          h(
            "span.option-text",
            null,
            h("strong", null, method.description, mark(method)),
            h("span.small", null, arrival(method)),
          ),
          h("span.option-price", null, method.amount === 0 ? "Free" : money(method.amount, method.currency)),
        ),
      ),
    ),
    outcome,
    h("p.actions", null, submit),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, async () => {
      if (await settle()) await go(`/checkout/${id}/payment`);
    });
  });
  return {
    title: "Checkout: delivery",
    content: h(
      "div.wide",
      null,
      steps(1, id),
      h(
        "div.two-columns",
        null,
        h("div", null, h("h1", null, "How should it travel?"), form),
        h(
          "aside.panel",
          { "aria-labelledby": "order-title" },
          h("h2", { id: "order-title" }, "Your order"),
          sums,
          h("h3", null, "Goes to"),
          address(order.shipping, country),
        ),
      ),
    ),
  };
}

const lastDay = ({ delivery_estimate: estimate }) => estimate?.date ?? estimate?.latest ?? null;

function arrival({ delivery_estimate: estimate }) {
  if (!estimate) return "The carrier names no day";
  if (estimate.type === "range") return `Between ${day(estimate.earliest)} and ${day(estimate.latest)}`;
  return `By ${day(estimate.date)}`;
}
