// Amounts, days and times as people read them.

export const LOCALE = "en";
// How many decimals Stripe counts in, as contracts/currencies.py has it; all others have two. A browser does not know:
// Intl gives the forint none.
const ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" ");
const THREE_DECIMAL = "bhd jod kwd omr tnd".split(" ");
const decimalsOf = (currency) => (ZERO_DECIMAL.includes(currency) ? 0 : THREE_DECIMAL.includes(currency) ? 3 : 2);

const formats = new Map();

/**
 * "$12.50" for (1250, "usd"): amounts are integers in the currency's smallest unit. Without a currency, for example of a
 * cart in which nothing can be bought, there is no amount.
 */
export function money(amount, currency) {
  if (!currency) return "–";
  const digits = decimalsOf(currency);
  let format = formats.get(currency);
  if (!format) {
    format = new Intl.NumberFormat(LOCALE, {
      style: "currency",
      currency: currency.toUpperCase(),
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    formats.set(currency, format);
  }
  return format.format(amount / 10 ** digits);
}

/** "Wednesday, 2 December" for "2026-12-02". */
export function day(date) {
  const moment = new Date(`${date}T12:00:00Z`);
  if (Number.isNaN(moment.getTime())) return date;
  return new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" }).format(
    moment,
  );
}

/** A moment of the carrier's ("2026-12-02T10:00:00Z") or ours (Unix seconds), in the reader's time. */
export function moment(time) {
  const when = typeof time === "number" ? new Date(time * 1000) : new Date(time);
  if (Number.isNaN(when.getTime())) return "";
  return new Intl.DateTimeFormat("en-GB", {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  }).format(when);
}

/** "1 product", "3 products". */
export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

/** "Cat toys" for "cat-toys". */
export const title = (word) => {
  const plain = word.replaceAll(/[-_]+/g, " ");
  return plain.charAt(0).toUpperCase() + plain.slice(1);
};

/** The value of an attribute as people read it. A SKU may lack an attribute that another of its product has. */
export const valueTitle = (value) => title(value || "standard");

/** "Small, moss" for the values that distinguish one SKU. */
export const variant = (attributes) =>
  Object.values(attributes ?? {})
    .map(valueTitle)
    .join(", ");

const regions = new Intl.DisplayNames([LOCALE], { type: "region" });
/** The countries that parcels go to, by name. */
export const COUNTRIES = (
  "US CA MX GB IE DE FR ES PT IT NL BE LU AT CH DK SE NO FI IS PL CZ SK HU SI HR RO BG GR CY MT EE LV LT AU NZ JP KR " +
  "SG HK TW IN BR AR CL IL AE ZA TR UA"
)
  .split(" ")
  .map((code) => ({ code, name: regions.of(code) }))
  .sort((one, other) => one.name.localeCompare(other.name, LOCALE));
/** "Germany" for "DE". */
export const country = (code) => {
  try {
    return regions.of(code);
  } catch {
    return code;
  }
};
