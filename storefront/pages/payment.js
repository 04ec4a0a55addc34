// The third step of the checkout: paying, and what the bank says.

import { busy, button, clear, fill, h, icon } from "../html.js";
import { canRepeat, problemBox } from "../problems.js";
import * as shop from "../shop.js";
import { address, receipt, steps } from "../summary.js";
import { country, day, money } from "../words.js";

// Test cards; real card fields come from the payment provider's own script, never from this page.
const CARDS = [
  { token: "tok_visa", label: "Visa ending in 4242", hint: "Accepted" },
  { token: "tok_mastercard", label: "Mastercard ending in 4444", hint: "Accepted" },
  { token: "pm_card_authenticationRequired", label: "Visa ending in 3184", hint: "The bank asks you to confirm" },
  { token: "tok_chargeDeclinedInsufficientFunds", label: "Visa ending in 9995", hint: "Declined: insufficient funds" },
  { token: "tok_chargeDeclinedExpiredCard", label: "Visa ending in 0069", hint: "Declined: expired" },
];
// While the bank's page is open, the order is asked about this often; it is paid without another press.
const POLL_MS = 2500;
// Somebody is paying this order right now, for example another tab: how often that is waited for.
const WAITS = 3;

export default async function payment({ id, signal, go, announce, refreshCart }) {
  let order = await shop.order(id, signal);
  if (order.status !== "created") return { go: `/order/${id}` };
  const isFree = () => order.amount === 0;
  const outcome = h("div.outcome");
  const submit = h("button.button.large", { type: "submit" });
  const cards = h("div");
  const panel = h("aside.panel", { "aria-labelledby": "order-title" });
  const form = h(
    "form.form",
    null,
    cards,
    outcome,
    h("p.actions", null, submit),
    h("p.small", null, "This is a demonstration: no real card is asked for, and none would be charged."),
  );
  draw();

  function draw() {
    const last = shop.stored(`card ${id}`) ?? CARDS[0].token;
    fill(submit, isFree() ? "Place the order" : `Pay ${money(order.amount, order.currency)}`);
    fill(
      cards,
      isFree()
        ? h("p", null, "There is nothing to pay.")
        : h(
            "fieldset.options",
            null,
            h("legend", null, "Test card"),
            CARDS.map(({ token, label, hint }) =>
              h(
                "label.option",
                null,
                h("input", { type: "radio", name: "card", value: token, checked: token === last }),
                h("span.option-text", null, h("strong", null, label), h("span.small", null, hint)),
                icon("M3 6.5h18v11H3z", "M3 10h18", "M6 14.5h4"),
              ),
            ),
          ),
    );
    const method = order.shipping_methods.find((each) => each.id === order.selected_shipping_method);
    fill(
      panel,
      h("h2", { id: "order-title" }, "Your order"),
      receipt(order),
      h("h3", null, "Goes to"),
      address(order.shipping, country),
      method?.delivery_estimate?.date &&
        h("p.small", null, `${method.description}, by ${day(method.delivery_estimate.date)}`),
    );
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, () => pay());
  });

  async function pay(waits = WAITS) {
    clear(outcome, submit);
    const card = isFree() ? null : new FormData(form).get("card");
    shop.store(`card ${id}`, card);
    announce("Paying …");
    try {
      const now = await shop.order(id, signal);
      if (now.status === "created" && now.amount !== order.amount) changed(now);
      else await paid(now.status === "created" ? await shop.pay(id, card) : now);
    } catch (error) {
      if (signal.aborted) return;
      const isBusy = error.status === 409 && error.retryAfter;
      if (isBusy && waits > 0) {
        await new Promise((resolve) => setTimeout(resolve, error.retryAfter * 1000));
        await pay(waits - 1);
      } else await refused(error);
    }
  }

  // Another tab has chosen another delivery. Nobody pays a total that this page has not shown.
  function changed(now) {
    order = now;
    draw();
    fill(outcome, h("div.note.bad", { role: "alert" }, h("p", null, "The total has changed. Check it, and pay again.")));
    submit.focus();
  }

  async function paid(done) {
    shop.remember(done);
    refreshCart();
    if (!signal.aborted) await go(`/order/${id}?thanks`, { replace: true });
  }

  async function refused(error) {
    const page = error.next_action?.redirect_to_url?.url;
    if (!canRepeat(error)) {
      // What a bank was asked before is over.
      clearTimeout(timer);
      shop.store(`bank ${id}`, page ?? null);
    }
    if (page) {
      askBank(page);
      return;
    }
    if (error.next_action) {
      fill(
        outcome,
        problemBox(
          new shop.Problem({
            status: 402,
            detail: "This card’s bank asks for a confirmation that this page cannot show. Use another card.",
          }),
        ),
      );
      return;
    }
    const more = [];
    if (error.status === 402) more.push(h("p.small", null, "Nothing was charged. Choose another card, and pay again."));
    if (error.status === 409) {
      const now = await shop.order(id).catch(() => order);
      if (now.status !== "created") {
        await paid(now);
        return;
      }
      more.push(h("a.button.quiet.small", { href: "/cart" }, "Change the cart"));
    }
    fill(outcome, problemBox(error, { again: () => busy(submit, () => pay()), more }));
  }

  // --- The bank

  let timer;
  function askBank(page) {
    const open = h("a.button", { href: page, target: "_blank", rel: "noopener" }, "Open my bank’s page");
    fill(
      outcome,
      h(
        "div.note.bank",
        { role: "group", "aria-labelledby": "bank-title" },
        icon("M3 9.5 12 4l9 5.5", "M5 10v8", "M10 10v8", "M14 10v8", "M19 10v8", "M3 20h18"),
        h("h2", { id: "bank-title", tabindex: -1 }, "Your bank wants you to confirm"),
        h(
          "p",
          null,
          "Its page opens in a new tab. Confirm there, and come back: this page goes on when the bank has answered.",
        ),
        h(
          "p.actions",
          null,
          open,
          button("I have confirmed", () => pay(), { tag: "button.button.quiet" }),
        ),
      ),
    );
    announce("Your bank wants you to confirm the payment.");
    open.focus();
    watch();
  }

  function watch() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const now = document.visibilityState === "visible" ? await shop.order(id, signal).catch(() => null) : null;
      if (signal.aborted) return;
      if (now && now.status !== "created") await paid(now);
      else watch();
    }, POLL_MS);
  }

  const bankPage = shop.stored(`bank ${id}`);
  if (bankPage) queueMicrotask(() => !signal.aborted && askBank(bankPage));
  return {
    title: "Checkout: payment",
    leave: () => clearTimeout(timer),
    content: h(
      "div.wide",
      null,
      steps(2, id),
      h(
        "div.two-columns",
        null,
        h("div", null, h("h1", null, "How would you like to pay?"), form),
        panel,
      ),
    ),
  };
}
