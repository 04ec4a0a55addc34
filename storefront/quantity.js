// A field for a number of pieces, with buttons for one more and one less.

import { h, icon, uniqueId } from "./html.js";

export const MOST_PIECES = 10000;

/**
 * @param {object} options
 * @param {string} options.label for a screen reader; names the product where several fields are on a page
 * @param {number} options.value
 * @param {(pieces: number) => any} [options.onchange] called with a valid number, when the shopper has finished changing it
 * @returns {{field: HTMLElement, input: HTMLInputElement, read: () => number|null, write: (pieces: number) => void}}
 *   `read` gives null, and marks the field, when it is not valid; `write` does not call `onchange`
 */
export function quantityField({ label, value, onchange }) {
  const id = uniqueId("quantity");
  const input = h("input", {
    id,
    type: "text",
    inputmode: "numeric",
    value,
    maxlength: 5,
    autocomplete: "off",
    "aria-describedby": `${id}-error`,
  });
  const error = h("p.field-error", { id: `${id}-error` });
  let last = value;
  let timer;

  function read() {
    const pieces = /^\d{1,5}$/.test(input.value.trim()) ? Number(input.value) : 0;
    const valid = pieces >= 1 && pieces <= MOST_PIECES;
    error.textContent = valid ? "" : `Enter a number from 1 to ${MOST_PIECES}.`;
    if (valid) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
    return valid ? pieces : null;
  }
  function changed() {
    clearTimeout(timer);
    const pieces = read();
    if (pieces === null || pieces === last) return;
    last = pieces;
    onchange?.(pieces);
  }
  function step(by) {
    const now = read() ?? last;
    input.value = String(Math.min(Math.max(now + by, 1), MOST_PIECES));
    clearTimeout(timer);
    timer = setTimeout(changed, 350); // several presses are one change
  }
  function write(pieces) {
    clearTimeout(timer);
    last = pieces;
    input.value = String(pieces);
    read();
  }
  input.addEventListener("change", changed);
  const field = h(
    "div.quantity",
    null,
    h("label.hidden", { for: id }, label),
    h(
      "div.stepper",
      null,
      h("button", { type: "button", "aria-label": `One less: ${label}`, onclick: () => step(-1) }, icon("M6 12h12")),
      input,
      h(
        "button",
        { type: "button", "aria-label": `One more: ${label}`, onclick: () => step(1) },
        icon("M6 12h12", "M12 6v12"),
      ),
    ),
    error,
  );
  return { field, input, read, write };
}
