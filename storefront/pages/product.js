// One product: its pictures, its variants, and how many of it.

import { card } from "../card.js";
import { busy, button, clear, fill, h, icon, link, picture } from "../html.js";
import { problemBox } from "../problems.js";
import { quantityField } from "../quantity.js";
import * as shop from "../shop.js";
import { money, title, valueTitle, variant } from "../words.js";

// How many other products are shown below.
const RELATED = 4;

export default async function productPage({ id, query, signal, announce, refreshCart }) {
  const product = await shop.product(id, signal);
  const skus = product.skus.data.filter((sku) => sku.active);
  if (!product.active || !skus.length) return offSale(product);

  const chosenBy = shop.differences(product, skus);
  let sku = skus.find((each) => each.id === query.get("sku")) ?? skus.find((each) => !shop.isSoldOut(each)) ?? skus[0];

  const gallery = h("div.product-picture");
  const price = h("p.price.large", { id: "price" });
  const stock = h("p.stock");
  const choices = h("div.choosers");
  const specs = h("dl.specs");
  const outcome = h("div.outcome");
  const quantity = quantityField({ label: "Quantity", value: 1 });
  const add = button("Add to cart", addToCart, { tag: "button.button.large" });

  function choose(name, value) {
    const wanted = { ...chosen(), [name]: value };
    const agreement = (each) => chosenBy.filter((one) => shop.valueOf(each, one) === wanted[one]).length;
    const candidates = skus.filter((each) => shop.valueOf(each, name) === value);
    sku = candidates.reduce((best, each) => (agreement(each) > agreement(best) ? each : best));
    history.replaceState(history.state, "", `?sku=${sku.id}`);
    show();
    announce(`${variant(chosen())}: ${money(sku.price, sku.currency)}. ${stockWords(sku) ?? ""}`);
  }
  const chosen = () => Object.fromEntries(chosenBy.map((name) => [name, shop.valueOf(sku, name)]));

  function show() {
    fill(gallery, picture(sku.image ?? product.images[0], { alt: picked(product, chosen()), fetchpriority: "high" }));
    fill(price, money(sku.price, sku.currency));
    const words = stockWords(sku);
    fill(stock, words ?? "In stock");
    stock.classList.toggle("low", words !== null);
    add.disabled = shop.isSoldOut(sku);
    fill(add, add.disabled ? "Sold out" : "Add to cart");
    for (const input of choices.querySelectorAll("input")) {
      input.checked = shop.valueOf(sku, input.name) === input.value;
      const same = { ...chosen(), [input.name]: input.value };
      const fits = skus.find((each) => chosenBy.every((name) => shop.valueOf(each, name) === same[name]));
      input.closest("label").classList.toggle("gone", !fits || shop.isSoldOut(fits));
    }
    const fixed = Object.entries(sku.attributes)
      .filter(([name]) => !chosenBy.includes(name))
      .map(([name, value]) => [title(name), value]);
    const size = sku.package_dimensions ?? product.package_dimensions;
    const parcel = size && [["Parcel", `${size.length} × ${size.width} × ${size.height} in, ${size.weight} oz`]];
    fill(
      specs,
      [...fixed, ...(parcel ?? [])].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    );
  }

  async function addToCart() {
    const pieces = quantity.read();
    if (pieces === null) return;
    clear(outcome, add);
    try {
      await shop.buy(product, sku, pieces);
    } catch (error) {
      fill(outcome, problemBox(error, { again: () => busy(add, addToCart) }));
      return;
    }
    const what = `${pieces > 1 ? `${pieces} × ` : ""}${product.name}${chosenBy.length ? ` (${variant(chosen())})` : ""}`;
    fill(
      outcome,
      h(
        "div.note.good",
        null,
        icon("m5 12.5 4.5 4.5L19 7.5"),
        h("p", null, `${what} ${pieces > 1 ? "are" : "is"} in your cart.`),
        link("/cart", { class: "button quiet small" }, "Go to the cart"),
      ),
    );
    announce(`${what} added to your cart.`);
    refreshCart();
  }

  for (const name of chosenBy) {
    const values = [...new Set(skus.map((each) => shop.valueOf(each, name)))];
    choices.append(
      h(
        "fieldset.chooser",
        null,
        h("legend", null, title(name)),
        h(
          "div.chips",
          null,
          values.map((value) =>
            h(
              "label.chip",
              null,
              h("input", { type: "radio", name, value, onchange: () => choose(name, value) }),
              h("span", null, valueTitle(value)),
            ),
          ),
        ),
      ),
    );
  }
  show();
  const category = product.metadata.category;
  const related = h("section.wide");
  if (category) showRelated(related, product, signal);
  return {
    title: product.name,
    content: [
      h(
        "div.wide.product",
        null,
        h(
          "nav.crumbs",
          { "aria-label": "Breadcrumb" },
          h(
            "ol",
            null,
            h("li", null, link("/", null, "Shop")),
            category && h("li", null, link(`/?${new URLSearchParams({ category })}`, null, title(category))),
            h("li", { "aria-current": "page" }, product.name),
          ),
        ),
        gallery,
        h(
          "div.product-text",
          null,
          h("h1", null, product.name),
          price,
          stock,
          product.description && h("p.description", null, product.description),
          choices,
          h("div.buy", null, quantity.field, add),
          outcome,
          h(
            "ul.promises",
            null,
            h(
              "li",
              null,
              icon("M3 7h11v9H3z", "M14 10h4l3 3v3h-7", "M7 18.5a1.5 1.5 0 1 0 0-.01", "M17 18.5a1.5 1.5 0 1 0 0-.01"),
              "Several carriers, each with its price and day",
            ),
            h(
              "li",
              null,
              icon("M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"),
              "Charged once, however often you press",
            ),
          ),
          specs.children.length > 0 && h("details.more-facts", null, h("summary", null, "Details"), specs),
        ),
      ),
      related,
    ],
  };
}

/** Other products of the same category; none if they cannot be loaded. */
async function showRelated(section, { id, metadata: { category } }, signal) {
  const found = await shop.products({ category }, RELATED + 1, signal).catch(() => ({ data: [] }));
  const others = found.data.filter((each) => each.id !== id).slice(0, RELATED);
  if (!others.length) return;
  section.setAttribute("aria-labelledby", "related-title");
  fill(
    section,
    h("div.list-head", null, h("h2", { id: "related-title" }, `More ${title(category).toLowerCase()}`)),
    h(
      "ul.cards",
      null,
      others.map((each, place) => card(each, place, "h3")),
    ),
  );
}

const picked = (product, attributes) => [product.name, variant(attributes)].filter(Boolean).join(", ");

function stockWords({ inventory: { type, quantity, value } }) {
  if (type === "finite") return quantity <= 0 ? "Sold out" : quantity <= 5 ? `Only ${quantity} left` : null;
  if (type === "bucket") return value === "out_of_stock" ? "Sold out" : value === "limited" ? "Only a few left" : null;
  return null;
}

function offSale(product) {
  return {
    title: product.name,
    content: h(
      "div.narrow.message-page",
      null,
      h("h1", null, product.name),
      h("p", null, "This product is not on sale at the moment."),
      link("/", { class: "button quiet" }, "See all products"),
    ),
  };
}
