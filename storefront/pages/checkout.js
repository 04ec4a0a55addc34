// The first step of the checkout: who the order is for, and where it goes.

import { busy, clear, fill, h, link } from "../html.js";
import { problemBox } from "../problems.js";
import * as shop from "../shop.js";
import { steps } from "../summary.js";
import { COUNTRIES, count, money, variant } from "../words.js";

const EXAMPLE = {
  name: "Chloe Taylor",
  email: "chloe@example.com",
  phone: "+14155550123",
  line1: "1092 Indian Summer Ct",
  line2: "",
  city: "San Jose",
  state: "CA",
  postal_code: "95122",
  country: "US",
};
// Names as in the request; a problem names the field in the same way.
const FIELDS = [
  { name: "name", label: "Full name", autocomplete: "name", missing: "Enter your name.", maxlength: 200 },
  {
    name: "email",
    label: "Email",
    type: "email",
    autocomplete: "email",
    hint: "The receipt goes here.",
    missing: "Enter your email address.",
  },
  {
    name: "phone",
    label: "Phone",
    type: "tel",
    autocomplete: "tel",
    hint: "With the country code, such as +1 415 555 0123. For the carrier, and a message when it ships.",
    missing: "Enter your phone number.",
  },
  {
    name: "line1",
    label: "Street and number",
    autocomplete: "address-line1",
    missing: "Enter your street and number.",
    maxlength: 200,
  },
  { name: "line2", label: "Apartment, floor (optional)", autocomplete: "address-line2", maxlength: 200 },
  { name: "city", label: "City", autocomplete: "address-level2", missing: "Enter your city.", maxlength: 100 },
  { name: "state", label: "State or region", autocomplete: "address-level1", half: true, maxlength: 100 },
  { name: "postal_code", label: "Postal code", autocomplete: "postal-code", half: true, maxlength: 20 },
  { name: "country", label: "Country", autocomplete: "country", options: COUNTRIES },
];
const OF_ADDRESS = ["line1", "line2", "city", "state", "postal_code", "country"];

export default async function checkout({ signal, go }) {
  const cart = await shop.cart(signal);
  if (!cart.items.length) {
    return {
      title: "Checkout",
      content: h(
        "div.narrow.message-page",
        null,
        h("h1", null, "Your cart is empty"),
        h("p", null, "Put something into it first."),
        link("/", { class: "button" }, "Look around"),
      ),
    };
  }
  const draft = { country: "US", ...shop.stored("customer", {}) };
  const outcome = h("div.outcome");
  const submit = h("button.button.large", { type: "submit" }, "Continue to delivery");
  const form = h(
    "form.form",
    { novalidate: true, "aria-labelledby": "title" },
    FIELDS.map((each) => field(each, draft[each.name] ?? "")),
    outcome,
    h("p.actions", null, submit),
  );
  const control = (name) => form.elements[name];
  const values = () => Object.fromEntries(FIELDS.map(({ name }) => [name, control(name).value.trim()]));

  form.addEventListener("input", () => shop.store("customer", values()));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(submit, () => order());
  });

  function mark(errors) {
    for (const { name } of FIELDS) {
      const message = errors[name] ?? "";
      form.querySelector(`#${name}-error`).textContent = message;
      if (message) control(name).setAttribute("aria-invalid", "true");
      else control(name).removeAttribute("aria-invalid");
    }
    const first = FIELDS.find(({ name }) => errors[name]);
    if (first) control(first.name).focus();
    return first !== undefined;
  }

  async function order(keepAddress = false) {
    clear(outcome, submit);
    const given = values();
    const missing = FIELDS.filter((each) => each.missing && !given[each.name]);
    if (mark(Object.fromEntries(missing.map((each) => [each.name, each.missing])))) return;
    const address = Object.fromEntries(OF_ADDRESS.filter((name) => given[name]).map((name) => [name, given[name]]));
    const phone = given.phone.replace(/[\s().-]/g, "");
    try {
      const kept = keepAddress ? { keep_address: true } : {};
      const made = await shop.checkout({ email: given.email, name: given.name, phone, address, ...kept });
      if (!signal.aborted) await go(`/checkout/${made.id}/delivery`);
    } catch (error) {
      const { address: nested, ...others } = error.errors ?? {};
      const found = Object.fromEntries(
        Object.entries({ ...others, ...nested })
          .filter(([name]) => control(name))
          .map(([name, said]) => [name, plain(said)]),
      );
      const marked = mark(found);
      if (error.suggestion) fill(outcome, suggestionBox(error));
      else if (!marked) {
        const toCart =
          error.status === 409 &&
          !error.retryAfter &&
          link("/cart", { class: "button quiet small" }, "Change the cart");
        fill(outcome, problemBox(error, { again: () => busy(submit, () => order(keepAddress)), more: [toCart] }));
      }
    }
  }

  function suggestionBox({ detail, suggestion }) {
    const shown = OF_ADDRESS.map((name) => suggestion[name]).filter(Boolean);
    const use = h("button.button.small", { type: "button" }, "Use the suggested address");
    const keep = h("button.button.quiet.small", { type: "button" }, "Keep my address");
    use.addEventListener("click", () => {
      for (const name of OF_ADDRESS) control(name).value = suggestion[name] ?? "";
      shop.store("customer", values());
      busy(submit, () => order());
    });
    keep.addEventListener("click", () => busy(submit, () => order(true)));
    return h("div.note.bad", { role: "alert" }, h("p", null, `${detail} It suggests: ${shown.join(", ")}.`), use, keep);
  }

  const example = h("button.button.quiet.small", { type: "button" }, "Use the example address");
  example.addEventListener("click", () => {
    for (const [name, value] of Object.entries(EXAMPLE)) control(name).value = value;
    shop.store("customer", EXAMPLE);
    mark({});
    submit.focus();
  });
  return {
    title: "Checkout: address",
    content: h(
      "div.wide",
      null,
      steps(0),
      h(
        "div.two-columns",
        null,
        h(
          "div",
          null,
          h("h1", { id: "title" }, "Where should it go?"),
          cart.problems.length > 0 &&
            h(
              "div.note.bad",
              { role: "alert" },
              h("p", null, cart.problems.map(({ detail }) => detail).join(" ")),
              link("/cart", { class: "button quiet small" }, "Change the cart"),
            ),
          h("div.lead", null, h("p", null, "No account needed. Only looking around?"), example),
          form,
        ),
        h(
          "aside.panel",
          { "aria-labelledby": "cart-title" },
          h("h2", { id: "cart-title" }, "In your cart"),
          h(
            "ul.mini",
            null,
            cart.items.map((item) =>
              h(
                "li",
                null,
                h(
                  "span",
                  null,
                  [item.name, variant(item.attributes)].filter(Boolean).join(", "),
                  h("span.times", null, ` × ${item.quantity}`),
                ),
                h("span", null, money(item.amount, item.currency)),
              ),
            ),
          ),
          h(
            "p.mini-total",
            null,
            h("span", null, count(cart.item_count, "item")),
            h("strong", null, money(cart.total, cart.currency)),
          ),
          link("/cart", { class: "textual" }, "Change the cart"),
        ),
      ),
    ),
  };
}

function field({ name, label, type = "text", hint, half, options, missing, ...others }, value) {
  const described = [hint && `${name}-hint`, `${name}-error`].filter(Boolean).join(" ");
  const props = { id: name, name, "aria-describedby": described, required: Boolean(missing), ...others };
  const control = options
    ? h(
        "select",
        props,
        options.map(({ code, name: shown }) => h("option", { value: code, selected: code === value }, shown)),
      )
    : h("input", { type, value, maxlength: 254, ...props });
  return h(
    half ? "div.field.half" : "div.field",
    null,
    h("label", { for: name }, label),
    control,
    hint && h("p.hint", { id: `${name}-hint` }, hint),
    h("p.field-error", { id: `${name}-error` }),
  );
}

/** The API's message about a field, as a sentence. */
function plain(said) {
  const message =
    [said]
      .flat(Infinity)
      .filter((each) => typeof each === "string")
      .join("; ") || "is not valid";
  if (message.startsWith("required field")) return `This is required${message.slice("required field".length)}.`;
  return /^[A-Z]/.test(message)
    ? message
    : `This ${/^(must|is|has|was|may|can|does|needs)\b/.test(message) ? "" : "is not valid: "}${message}.`;
}
