// The third step of the checkout: paying, and what the bank says.

import { SCRIPT_URL, askBank as askBankByScript, paymentElement } from "../element.js";
import { busy, button, clear, fill, h, icon } from "../html.js";
import { canRepeat, problemBox } from "../problems.js";
import * as shop from "../shop.js";
import { address, receipt, steps } from "../summary.js";
import { country, day, money } from "../words.js";

// Test cards, which a shop without a publishable key offers in place of Stripe's Payment Element.
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
const NOT_CHARGED = "Nothing was charged. Choose another card, and pay again.";
const UNCONFIRMED = "Your bank has not confirmed the payment.";
// A longer wait for another request is left to the shopper.
const LONGEST_WAIT_S = 10;

/** Whether a bank may have yet to answer about the order. A cart service of the previous release shows no payment. */
const isWaiting = ({ payment }) => !payment || ["requires_action", "processing"].includes(payment.status);

export default async function payment({ id, query, signal, go, announce, refreshCart }) {
  let order = await shop.order(id, signal);
  if (!shop.isOpen(order)) return { go: query.has("returned") ? shop.thanks(order) : `/order/${id}` };
  const isFree = () => order.amount === 0;
  const outcome = h("div.outcome");
  const submit = h("button.button.large", { type: "submit" });
  const fields = h("div");
  const panel = h("aside.panel", { "aria-labelledby": "order-title" });
  const note = h("p.small");
  const form = h("form.form", null, fields, outcome, h("p.actions", null, submit), note);
  const way = SCRIPT_URL ? byElement() : byTestCard();
  draw();

  function draw() {
    fill(submit, isFree() ? "Place the order" : `Pay ${money(order.amount, order.currency)}`);
    if (isFree()) fill(fields, h("p", null, "There is nothing to pay."));
    else way.draw();
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

  // --- Two ways to pay: `check` says what is wrong with the entry, `token` gives what the shop needs

  function byTestCard() {
    fill(note, "This is a demonstration: no real card is asked for, and none would be charged.");
    return {
      draw() {
        const last = shop.stored(`card ${id}`) ?? CARDS[0].token;
        const option = ({ token, label, hint }) =>
          h(
            "label.option",
            null,
            h("input", { type: "radio", name: "card", value: token, checked: token === last }),
            h("span.option-text", null, h("strong", null, label), h("span.small", null, hint)),
            icon("M3 6.5h18v11H3z", "M3 10h18", "M6 14.5h4"),
          );
        fill(fields, h("fieldset.options", null, h("legend", null, "Test card"), CARDS.map(option)));
      },
      check: () => {},
      sending: () => {},
      token() {
        const card = new FormData(form).get("card");
        shop.store(`card ${id}`, card);
        return card;
      },
      askBank: ({ next_action }) => openBank(next_action?.redirect_to_url?.url),
      leave: () => {},
    };
  }

  function byElement() {
    const place = h("div.element");
    const loading = h("p.element-loading", { role: "status" }, "Loading the payment form …");
    let shown = null;
    let showing = null;
    let key = null;
    async function show() {
      fill(fields, loading, place);
      key ??= (await shop.paymentOptions(signal)).publishable_key;
      const made = await paymentElement(place, key, order);
      if (signal.aborted) {
        made.destroy();
        throw signal.reason;
      }
      loading.remove();
      if (key.startsWith("pk_test_"))
        fill(
          note,
          "Test mode: no money moves. Pay with the card number ",
          h("strong.number", null, "4242 4242 4242 4242"),
          ", any future date and any security code.",
        );
      return (shown = made);
    }
    function ready() {
      showing ??= show().catch((error) => {
        showing = null;
        throw error;
      });
      return showing;
    }
    // The page is in the document only after this function has returned.
    const open = () =>
      ready().catch((error) => {
        if (!signal.aborted) fill(fields, problemBox(error, { again: open }));
      });
    return {
      draw() {
        if (shown) shown.update(order);
        else setTimeout(() => !signal.aborted && open());
      },
      check: async () => (await ready()).check(),
      token: () => shown.token(returnUrl),
      // From here on its outcome may be unknown: a repetition must send the same.
      sending: (token) => shop.keepAttempt(id, token),
      async askBank({ client_secret }, token) {
        announce("Your bank wants you to confirm the payment.");
        key ??= (await shop.paymentOptions(signal)).publishable_key;
        const { isPaid, refusal } = await askBankByScript(key, client_secret);
        if (signal.aborted) return;
        if (isPaid) await pay({ token, asked: true });
        else if (refusal) await refused(refusal, token);
        else goOn(UNCONFIRMED, token);
      },
      leave: () => shown?.destroy(),
    };
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, () => pay());
  });

  const returnUrl = SCRIPT_URL ? `${location.origin}/order/${id}` : undefined;

  /**
   * Pay the order.
   *
   * @param {object} [attempt]
   * @param {string | null} [attempt.token] Of an attempt whose outcome is unknown: the same payment is asked for again.
   * @param {number} [attempt.waits] How often another request for this order is still waited for.
   * @param {boolean} [attempt.asked] Whether the bank has been asked in this attempt.
   */
  async function pay({ token = null, waits = WAITS, asked = false } = {}) {
    clear(outcome, submit);
    announce("Paying …");
    let card = token;
    let isSent = false;
    try {
      if (card === null && !isFree()) {
        await way.check();
        card = await way.token();
      }
      // Read last: the shopper must have seen the total that is charged.
      const now = await shop.order(id, signal);
      if (!shop.isOpen(now)) await paid(now);
      else if (now.amount !== order.amount) changed(now);
      else {
        if (card !== null) way.sending(card);
        isSent = true;
        await paid(await shop.pay(id, card, isFree() ? undefined : returnUrl));
      }
    } catch (error) {
      if (signal.aborted) return;
      const isBusy = isSent && error.status === 409 && error.retryAfter && error.retryAfter <= LONGEST_WAIT_S;
      if (isBusy && waits > 0) {
        await new Promise((resolve) => setTimeout(resolve, error.retryAfter * 1000));
        await pay({ token: card, waits: waits - 1, asked });
      } else if (isSent) await answered(error, card, token === null, asked);
      else fill(outcome, problemBox(error, { again: () => busy(submit, () => pay({ token })) }));
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
    if (!signal.aborted) await go(shop.thanks(done), { replace: true });
  }

  /**
   * Say what the shop has answered instead of a paid order.
   *
   * @param {string | null} card What was sent.
   * @param {boolean} isNew Whether it was sent for the first time.
   * @param {boolean} asked Whether the bank has been asked in this attempt.
   */
  async function answered(error, card, isNew, asked) {
    const isUnknown = !(error instanceof shop.Problem) || [0, 408].includes(error.status) || error.status >= 500;
    const isLater = error.retryAfter !== null && !isUnknown;
    const isOver = !isUnknown && !error.next_action && (!isLater || isNew);
    if (isOver) shop.forgetAttempt(id, card);
    if (!canRepeat(error)) {
      // What a bank was asked before is over.
      clearTimeout(timer);
      shop.store(`bank ${id}`, null);
    }
    const again = () => busy(submit, () => pay({ token: isOver ? null : card }));
    if (error.next_action && !asked) {
      try {
        await way.askBank(error, card);
      } catch (problem) {
        if (!signal.aborted) fill(outcome, problemBox(problem, { again }));
      }
      return;
    }
    if (error.next_action) {
      goOn(UNCONFIRMED, card);
      return;
    }
    const more = [];
    if (error.status === 402) more.push(h("p.small", null, NOT_CHARGED));
    if (error.status === 409) {
      const now = await shop.order(id).catch(() => order);
      if (!shop.isOpen(now)) {
        await paid(now);
        return;
      }
      more.push(h("a.button.quiet.small", { href: "/cart" }, "Change the cart"));
    }
    fill(outcome, problemBox(error, { again, more }));
  }

  /** The bank has refused what was sent. Another tab may have paid, or begun to. */
  async function refused(refusal, card) {
    shop.forgetAttempt(id, card);
    const now = await shop.order(id, signal).catch(() => null);
    if (signal.aborted) return;
    if (now && !shop.isOpen(now)) await paid(now);
    else fill(outcome, problemBox(refusal, { more: [h("p.small", null, NOT_CHARGED)] }));
  }

  /** The last payment of the order was not taken, says the shop. */
  function failed({ payment: { failure } }) {
    shop.store(`bank ${id}`, null);
    const refusal = new shop.Problem({ status: 402, detail: failure?.detail ?? UNCONFIRMED });
    fill(outcome, problemBox(refusal, { more: [h("p.small", null, NOT_CHARGED)] }));
  }

  /** An attempt has no outcome yet: let the shopper go on with it. */
  function goOn(sentence, token) {
    fill(
      outcome,
      h(
        "div.note",
        { role: "alert" },
        h("p", null, sentence),
        token &&
          button("Go on with the payment", () => busy(submit, () => pay({ token })), {
            tag: "button.button.quiet.small",
          }),
      ),
    );
  }

  // --- The bank

  let timer;
  function openBank(page) {
    if (!page) {
      const detail = "This card’s bank asks for a confirmation that this page cannot show. Use another card.";
      fill(outcome, problemBox(new shop.Problem({ status: 402, detail })));
      return;
    }
    shop.store(`bank ${id}`, page);
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

  /** Look for the bank's answer; `token`: what it was asked about, if Stripe has made it. */
  function watch(token = null) {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const isPaying = submit.getAttribute("aria-disabled") === "true";
      const isSeen = document.visibilityState === "visible" && !isPaying;
      const now = isSeen ? await shop.order(id, signal).catch(() => null) : null;
      if (signal.aborted) return;
      if (!now || submit.getAttribute("aria-disabled") === "true") watch(token);
      else if (!shop.isOpen(now)) await paid(now);
      else if (!isWaiting(now)) {
        shop.forgetAttempt(id, token);
        if (now.payment?.status === "failed") failed(now);
        else {
          shop.store(`bank ${id}`, null);
          clear(outcome, submit);
        }
      } else watch(token);
    }, POLL_MS);
  }

  /** Go on with what an earlier visit of this page has begun. */
  function resume() {
    if (signal.aborted) return;
    const bankPage = shop.stored(`bank ${id}`);
    if (bankPage && !SCRIPT_URL) openBank(bankPage);
    if (!SCRIPT_URL || isFree()) return;
    // `returned` is what Stripe says about the shopper who comes back from the bank's page.
    const returned = query.get("returned");
    if (returned) history.replaceState(history.state, "", location.pathname);
    const token = shop.attemptOf(id);
    if (returned === "failed" && !isWaiting(order)) {
      shop.forgetAttempt(id, token);
      failed(order);
    } else if (returned === "failed") {
      // The shop has not heard of it yet, and the bank may still confirm.
      goOn(UNCONFIRMED, token);
      watch(token);
    } else if (token && returned) busy(submit, () => pay({ token, asked: true }));
    else if (token) goOn("You have begun to pay this order, and its outcome is not known.", token);
    else if (returned && isWaiting(order)) {
      fill(outcome, h("div.note", { role: "status" }, h("p", null, "We are waiting for your bank’s answer.")));
      watch();
    } else if (returned && order.payment?.status === "failed") failed(order);
  }

  // The browser may show this page again as the shopper left it, for the bank's page.
  const reopen = (event) => event.persisted && go(location.pathname, { replace: true });
  addEventListener("pageshow", reopen);
  setTimeout(resume);
  return {
    title: "Checkout: payment",
    leave() {
      clearTimeout(timer);
      removeEventListener("pageshow", reopen);
      way.leave();
    },
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
