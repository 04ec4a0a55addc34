// For a shop whose API has no `GET /api/cart/summary/` yet. Goes away with the merge of that route.

import { Problem } from "./client.js";

export const isMissingRoute = (error) => error instanceof Problem && (error.status === 404 || error.status === 405);

/** The cart from its bare items and their products. */
export async function cartOf(client, items, productOf) {
  const found = await Promise.all(items.map((item) => described(client, item, item.product ?? productOf[item.parent])));
  const total = found.reduce((sum, item) => sum + item.amount, 0);
  const lost = found.filter((item) => !item.available);
  return {
    items: found,
    item_count: items.reduce((sum, item) => sum + item.quantity, 0),
    currency: found[0]?.currency ?? null,
    subtotal: total,
    total,
    problems: lost.map((item) => ({ parent: item.parent, detail: `${item.name} is no longer on sale.` })),
  };
}

async function described(client, item, product) {
  const unknown = { ...item, product, name: item.parent, attributes: {}, price: 0, amount: 0, currency: "usd" };
  if (!product) return { ...unknown, available: true };
  const whole = await client.product(product).catch(() => null);
  const sku = whole?.skus.data.find((each) => each.id === item.parent);
  if (!sku) return { ...unknown, name: whole?.name ?? item.parent, available: false };
  const { price, currency, attributes } = sku;
  const image = sku.image ?? whole.images[0] ?? null;
  const amount = price * item.quantity;
  return { ...item, product, name: whole.name, image, attributes, price, currency, amount, available: true };
}
