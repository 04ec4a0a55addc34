// The cart: quantities, a discount code, and what is no longer available.

import { busy, button, clear, fill, h, link, picture } from "../html.js";
import { problemBox, sentence } from "../problems.js";
import { quantityField } from "../quantity.js";
import * as shop from "../shop.js";
import { count, money, moment, variant } from "../words.js";

export default async function cartPage({ signal, announce, refreshCart }) {
  const content = h("div.wide");
  show(await shop.cart(signal));
  return { title: "Your cart", content };

  function show(cart) {
    fill(content, h("h1", null, "Your cart"), cart.items.length ? filled(cart) : empty(), orders());
  }

  /** Show the cart again after a change, with the focus where it was. */
  async function again(said) {
    const focused = document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id;
    show(await shop.cart());
    refreshCart();
    announce(said);
    const same = [...content.querySelectorAll("button, input")].find(
      (each) => each.getAttribute("aria-label") === focused || (each.id && each.id === focused),
    );
    const target = same ?? content.querySelector("h1");
    if (!same) target.tabIndex = -1;
    target.focus({ preventScroll: true });
  }

  function filled(cart) {
    const problems = new Map(cart.problems.map((each) => [each.parent, each.detail]));
    const lost = cart.items.length && problems.size > 0;
    return h(
      "div.two-columns",
      null,
      h(
        "div",
        null,
        lost &&
          h(
            "div.note.bad",
            { role: "alert" },
            h("p", null, "Something in your cart cannot be bought as it is. Change or remove it to go on."),
          ),
        h(
          "ul.lines",
          null,
          cart.items.map((item) => line(item, problems.get(item.parent))),
        ),
      ),
      h(
        "aside.panel",
        { "aria-labelledby": "sum-title" },
        h("h2", { id: "sum-title" }, "Summary"),
        h(
          "dl.sums",
          null,
          sum(`Products (${count(cart.item_count, "item")})`, money(cart.subtotal, cart.currency)),
          cart.discount < 0 && sum(`Discount (${cart.discount_code})`, money(cart.discount, cart.currency)),
          h("div.total", null, h("dt", null, "Total before delivery"), h("dd", null, money(cart.total, cart.currency))),
        ),
        discountForm(cart, problems.get(cart.discount_code)),
        link("/checkout", { class: "button large wide-button" }, "Go to checkout"),
        h("p.small", null, "Delivery is chosen at checkout, from real rates. Tax is added there unless the prices include it."),
      ),
    );
  }

  function line(item, problem) {
    const name = [item.name, variant(item.attributes)].filter(Boolean).join(", ");
    const outcome = h("div.outcome");
    const attempt = async (change, said) => {
      clear(outcome, quantity.input);
      try {
        await change();
        await again(said);
      } catch (error) {
        quantity.write(item.quantity);
        fill(outcome, problemBox(error, { again: () => attempt(change, said) }));
      }
    };
    const quantity = quantityField({
      label: `Quantity of ${name}`,
      value: item.quantity,
      onchange: (pieces) => attempt(() => shop.setQuantity(item, pieces), `${pieces} × ${name} in your cart.`),
    });
    return h(
      "li.line",
      null,
      h("div.line-picture", null, picture(item.image)),
      h(
        "div.line-text",
        null,
        h("h2", null, item.product ? link(`/product/${item.product}?sku=${item.parent}`, null, item.name) : item.name),
        variant(item.attributes) && h("p.small", null, variant(item.attributes)),
        problem ? h("p.field-error", null, problem) : h("p.small", null, money(item.price, item.currency), " each"),
        h(
          "div.line-actions",
          null,
          quantity.field,
          button("Remove", () => attempt(() => shop.remove(item), `${name} removed from your cart.`), {
            tag: "button.textual",
            "aria-label": `Remove ${name}`,
          }),
        ),
        outcome,
      ),
      h("p.line-amount", null, money(item.amount, item.currency)),
    );
  }

  function discountForm({ discount_code: used }, problem) {
    const outcome = h("p.field-error", { id: "code-error", role: "alert" });
    const attempt = async (change, said) => {
      outcome.textContent = "";
      try {
        await change();
        await again(said);
      } catch (error) {
        outcome.textContent = error.status === 404 ? "We do not know this code. Check its spelling." : sentence(error);
        document.getElementById("code")?.focus();
      }
    };
    if (used) {
      return h(
        "div.code-used",
        null,
        h("p", null, "Code ", h("strong", null, used), problem ? " does not apply." : " is applied."),
        problem && h("p.field-error", null, problem),
        button("Remove", () => attempt(() => shop.removeDiscount(), "The discount is removed."), {
          tag: "button.textual",
          "aria-label": "Remove the discount code",
        }),
        outcome,
      );
    }
    const input = h("input", {
      id: "code",
      name: "code",
      autocomplete: "off",
      autocapitalize: "characters",
      maxlength: 100,
      "aria-describedby": "code-error",
    });
    const form = h(
      "form.code",
      { novalidate: true },
      h("label", { for: "code" }, "Discount code"),
      h("div.inline", null, input, h("button.button.quiet", { type: "submit" }, "Apply")),
      outcome,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const code = input.value.trim();
      if (!code) {
        outcome.textContent = "Enter a code first.";
        input.focus();
        return;
      }
      busy(form.querySelector("button"), () => attempt(() => shop.applyDiscount(code), `Code ${code} is applied.`));
    });
    return form;
  }
}

const sum = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value));

function empty() {
  return h(
    "div.empty",
    null,
    h("p", null, "There is nothing in it yet."),
    link("/", { class: "button" }, "Look around"),
  );
}

function orders() {
  const known = shop.stored("orders", []);
  return (
    known.length > 0 &&
    h(
      "section.past",
      { "aria-labelledby": "past-title" },
      h("h2", { id: "past-title" }, "Orders from this browser"),
      h(
        "ul",
        null,
        known.map(({ id, at, amount, currency }) =>
          h("li", null, link(`/order/${id}`, null, `${moment(at)}, ${money(amount, currency)}`)),
        ),
      ),
    )
  );
}
