// A product in a list: its picture, name and price. The whole card is one link.

import { h, link, picture } from "./html.js";
import { differences, isSoldOut } from "./shop.js";
import { count, money } from "./words.js";

/**
 * A product in a list.
 *
 * @param {import("./client.js").Product} product
 * @param {number} place In the list, from 0: pictures further down are loaded when they come into view.
 * @param {"h2" | "h3"} heading
 */
export function card(product, place, heading) {
  const skus = product.skus.data.filter((sku) => sku.active);
  const prices = skus.map((sku) => sku.price);
  const lowest = Math.min(...prices);
  const varies = Math.max(...prices) > lowest;
  const soldOut = !skus.length || skus.every(isSoldOut);
  return h(
    "li.card",
    null,
    h(
      "article",
      null,
      h(
        "div.card-picture",
        null,
        picture(product.images[0], { loading: place < 8 ? "eager" : "lazy" }),
        soldOut && h("span.tag", null, "Sold out"),
      ),
      h(heading, null, link(`/product/${product.id}`, null, product.name)),
      h(
        "p.card-line",
        null,
        h(
          "span.price",
          null,
          skus.length ? [varies && h("span.from", null, "from "), money(lowest, skus[0].currency)] : "Not on sale",
        ),
        skus.length > 1 && h("span.choices", null, choices(product, skus)),
      ),
    ),
  );
}

// "3 colours" if that is all in which they differ, else "4 choices".
function choices(product, skus) {
  const names = differences(product, skus);
  return names.length === 1 ? count(skus.length, names[0]) : count(skus.length, "choice");
}
