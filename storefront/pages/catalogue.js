// The catalogue: categories, search, order, and as many products as the shopper asked for.

import { card } from "../card.js";
import { button, h, link, picture } from "../html.js";
import * as shop from "../shop.js";
import { count, title } from "../words.js";

const STEP = 12;
const MOST = 480;
const ORDERS = {
  name: "Name",
  price: "Price, low to high",
  "-price": "Price, high to low",
  "-created": "Newest first",
};

export default async function catalogue({ query, signal, go, announce }) {
  const category = query.get("category");
  const words = query.get("q");
  const order = query.get("order") in ORDERS ? query.get("order") : "name";
  const wanted = Math.min(Math.max(Number(query.get("show")) || STEP, STEP), MOST);
  const list = await shop.products({ category: words ?? category, order_by: order }, wanted, signal);

  const address = (changes) => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) value === null ? next.delete(name) : next.set(name, value);
    return next.size ? `/?${next}` : "/";
  };
  const select = h(
    "select",
    { id: "order", onchange: (event) => go(address({ order: event.target.value, show: null }), { stay: true }) },
    Object.entries(ORDERS).map(([value, label]) => h("option", { value, selected: value === order }, label)),
  );
  const isStart = !category && !words;
  const hasHero = isStart && list.data.some((product) => product.metadata.demo);
  const cards = list.data.map((product, place) => card(product, place, hasHero ? "h3" : "h2"));
  const more =
    list.has_more &&
    wanted < MOST &&
    button(
      "Show more",
      async () => {
        await go(address({ show: wanted + STEP }), { replace: true, stay: true });
        document.querySelectorAll(".card a")[wanted]?.focus();
      },
      { tag: "button.button.quiet", id: "more" },
    );
  const heading = words ? `Results for “${words}”` : category ? title(category) : "All products";
  const found = `${count(list.total_count, "product")}${words ? " found" : ""}`;
  announce(`${heading}: ${found}`);
  return {
    title: isStart ? "Wally’s" : heading,
    content: [
      hasHero && hero(),
      h(
        "section.wide",
        { "aria-labelledby": "list-title" },
        h(
          "div.list-head",
          null,
          h(hasHero ? "h2" : "h1", { id: "list-title" }, heading),
          h("p.found", null, found),
          list.total_count > 1 && h("div.order", null, h("label", { for: "order" }, "Sort by"), select),
        ),
        list.data.length ? h("ul.cards", null, cards) : nothing(words),
        h(
          "p.more",
          null,
          list.data.length < list.total_count && h("span", null, `${list.data.length} of ${list.total_count} shown`),
          more,
        ),
      ),
    ],
  };
}

/** The picture of the demo catalogue; a shop with products of its own starts with them. */
function hero() {
  return h(
    "section.hero",
    { "aria-labelledby": "hero-title" },
    h(
      "div.hero-text",
      null,
      h("p.kicker", null, "For cats and dogs, since this morning"),
      h("h1", { id: "hero-title" }, "Good things for good animals"),
      h(
        "p",
        null,
        "Toys that squeak, beds that sink, treats worth sitting for. Sent from San Francisco by the carrier you choose.",
      ),
      h(
        "p.actions",
        null,
        link("/?category=toys", { class: "button" }, "Shop toys"),
        link("/?category=beds", { class: "button quiet" }, "Shop beds"),
      ),
    ),
    picture("/storefront/pictures/hero.svg", { class: "hero-picture", width: 960, height: 640, fetchpriority: "high" }),
  );
}

function nothing(words) {
  return h(
    "div.empty",
    null,
    h(
      "p",
      null,
      words
        ? `Nothing matches “${words}”. Try a single word, such as “ball” or “salmon”.`
        : "There are no products here yet.",
    ),
    words && link("/", { class: "button quiet" }, "See all products"),
  );
}
