// Says what went wrong, and what the shopper can do about it.

import { busy, h, icon } from "./html.js";
import { Problem } from "./shop.js";

/** What to say about an error: a sentence or two. */
export function sentence(error) {
  if (!(error instanceof Problem)) return "Something went wrong in this page. Reload it, and try again.";
  if (error.status === 0)
    return "The shop cannot be reached. Check your connection, and try again: nothing happens twice.";
  if (error.status === 429)
    return `That was too often. Try again ${error.retryAfter ? `in ${error.retryAfter} seconds` : "later"}.`;
  return error.message;
}

/** Whether it makes sense to send the same again. */
export const canRepeat = (error) =>
  error instanceof Problem && (error.status === 0 || error.status >= 500 || error.retryAfter !== null);

/**
 * A box with the problem, announced at once.
 * @param {Error} error
 * @param {{again?: () => any, more?: Node[]}} [options] `again` is offered where repeating makes sense
 */
export function problemBox(error, { again, more = [] } = {}) {
  if (!(error instanceof Problem)) console.error(error);
  const retry = again && canRepeat(error) && h("button.button.quiet.small", { type: "button" }, "Try again");
  if (retry) retry.addEventListener("click", () => busy(retry, again));
  return h(
    "div.note.bad",
    { role: "alert" },
    icon("M12 4 2.5 20h19L12 4Z", "M12 10v4.5", "M12 17.2v.100"),
    h("p", null, sentence(error)),
    retry,
    more,
  );
}
