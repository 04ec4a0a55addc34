/** What is missing or wrong in the fields of the Payment Element, in the words and codes of Stripe.js. */

/** Return a card number in groups of four digits. */
export const grouped = (text) => text.replace(/\D/g, "").slice(0, 19).replace(/(.{4})(?=.)/g, "$1 ");

/** Return an expiration date as MM / YY, as far as it is typed. */
export function slashed(text) {
  let plain = text.replace(/\D/g, "");
  if (/^[2-9]/.test(plain) || /^1\s*\//.test(text)) plain = `0${plain}`;
  plain = plain.slice(0, 4);
  return plain.length < 2 ? plain : `${plain.slice(0, 2)} / ${plain.slice(2)}`;
}

function passesLuhn(number) {
  const sum = [...number].reverse().reduce((total, digit, place) => {
    const value = Number(digit) * (1 + (place % 2));
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

/**
 * Return {field: {code, message}} for a card.
 * @param {string} number, cvc digits
 * @param {string} expiry MM / YY
 * @param {Date} now
 */
export function checkCard(number, expiry, cvc, now) {
  const found = {};
  const isAmex = /^3[47]/.test(number);
  if (number.length < (isAmex ? 15 : /^3[0689]/.test(number) ? 14 : 16)) {
    found.number = { code: "incomplete_number", message: "Your card number is incomplete." };
  } else if (!passesLuhn(number)) {
    found.number = { code: "invalid_number", message: "Your card number is invalid." };
  }
  const [, month, year] = /^(\d{2}) \/ (\d{2})$/.exec(expiry) ?? [];
  const [thisMonth, thisYear] = [now.getMonth() + 1, now.getFullYear() % 100];
  if (!month || Number(month) < 1 || Number(month) > 12) {
    found.expiry = { code: "incomplete_expiry", message: "Your card’s expiration date is incomplete." };
  } else if (Number(year) < thisYear) {
    found.expiry = { code: "invalid_expiry_year_past", message: "Your card’s expiration year is in the past." };
  } else if (Number(year) > thisYear + 50) {
    found.expiry = { code: "invalid_expiry_year", message: "Your card’s expiration year is invalid." };
  } else if (Number(year) === thisYear && Number(month) < thisMonth) {
    found.expiry = { code: "invalid_expiry_month_past", message: "Your card’s expiration date is in the past." };
  }
  if (cvc.length < (isAmex ? 4 : 3)) {
    found.cvc = { code: "incomplete_cvc", message: "Your card’s security code is incomplete." };
  }
  return found;
}

/** Return {field: {code, message}} for a bank account. */
export function checkAccount(holder, routing, account) {
  const found = {};
  if (!holder.trim()) found.holder = { code: "incomplete_name", message: "Enter the name of the account holder." };
  if (routing.length < 9) {
    found.routing = { code: "incomplete_routing_number", message: "The routing number has nine digits." };
  }
  if (account.length < 4) {
    found.account = { code: "incomplete_account_number", message: "The account number is incomplete." };
  }
  return found;
}
