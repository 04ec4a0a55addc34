// The shop's frame: which page is shown for which address, history, focus, and what is announced.

import { button, fill, h, icon } from "./html.js";
import cartPage from "./pages/cart.js";
import catalogue from "./pages/catalogue.js";
import checkout from "./pages/checkout.js";
import delivery from "./pages/delivery.js";
import orderPage from "./pages/order.js";
import payment from "./pages/payment.js";
import productPage from "./pages/product.js";
import * as shop from "./shop.js";
import { count, title } from "./words.js";

// The gateway answers these paths with index.html (gateway/static_files.py).
const PAGES = [
  [/^\/$/, catalogue],
  [/^\/product\/([\w-]{1,100})\/?$/, productPage],
  [/^\/cart\/?$/, cartPage],
  [/^\/checkout\/?$/, checkout],
  [/^\/checkout\/([\w-]{1,100})\/delivery\/?$/, delivery],
  [/^\/checkout\/([\w-]{1,100})\/payment\/?$/, payment],
  [/^\/order\/([\w-]{1,100})\/?$/, orderPage],
];
const NAME = "Wally’s";
// A page that is shown within this time needs no sign that it is loading.
const PATIENCE_MS = 250;

const main = document.getElementById("main");
const status = document.getElementById("status");
const cartLink = document.getElementById("cart-link");
const search = document.getElementById("search");
const categories = document.getElementById("categories");

let leaving = () => {};
let shown;

const find = (path) => {
  for (const [pattern, page] of PAGES) {
    const match = pattern.exec(path);
    if (match) return { page, id: match[1] };
  }
  return null;
};

/** Say something to a screen reader, without moving the focus. */
function announce(sentence) {
  status.textContent = "";
  setTimeout(() => (status.textContent = sentence), 60);
}

/** Show how many pieces are in the cart. */
async function refreshCart() {
  try {
    const { item_count } = await shop.cart();
    const [number, word] = count(item_count, "item").split(" ");
    fill(cartLink.querySelector(".cart-count"), item_count > 0 && [number, h("span.hidden", null, ` ${word}`)]);
  } catch {
    // The number is an aid; the cart's own page reports what went wrong.
  }
}

/**
 * Go to an address of the shop.
 *
 * @param {string} address
 * @param {{replace?: boolean, stay?: boolean}} [options] `replace`: without a new entry in the history; `stay`: without
 *   moving the page.
 */
function go(address, { replace = false, stay = false } = {}) {
  keepScroll();
  history[replace ? "replaceState" : "pushState"](null, "", address);
  return render({ moved: true, scroll: stay ? scrollY : 0 });
}

const keepScroll = () => history.replaceState({ ...history.state, scroll: scrollY }, "");

/**
 * Show the page of the current address.
 * @param {boolean} moved the shopper went to another page, so its heading gets the focus
 * @param {number} [scroll] where the page was when it was left
 */
async function render({ moved = false, scroll = 0 } = {}) {
  leaving();
  const abort = new AbortController();
  let leave = () => {};
  leaving = () => {
    abort.abort();
    leave();
  };
  const here = new URL(location.href);
  const { page, id } = find(here.pathname) ?? { page: catalogue };
  const focused = document.activeElement?.id;
  const slow = setTimeout(() => main.classList.add("loading"), PATIENCE_MS);
  main.setAttribute("aria-busy", "true");
  let view;
  try {
    view = await page({ id, query: here.searchParams, signal: abort.signal, go, announce, refreshCart });
  } catch (error) {
    if (abort.signal.aborted) return;
    view = failed(error, () => render({ moved: true }));
  } finally {
    clearTimeout(slow);
    if (!abort.signal.aborted) {
      main.classList.remove("loading");
      main.removeAttribute("aria-busy");
    }
  }
  if (abort.signal.aborted) {
    view.leave?.();
    return;
  }
  if (view.go) {
    go(view.go, { replace: true });
    return;
  }
  leave = view.leave ?? leave;
  document.title = view.title === NAME ? `${NAME} – good things for good animals` : `${view.title} – ${NAME}`;
  fill(main, view.content);
  search.elements.q.value = here.pathname === "/" ? (here.searchParams.get("q") ?? "") : "";
  markCategory();
  const samePage = shown === here.pathname;
  shown = here.pathname;
  scrollTo(0, scroll);
  if (moved) {
    const again = samePage && focused ? document.getElementById(focused) : null;
    const target = again ?? main.querySelector("h1");
    if (target && !again && !target.matches("a, button, input, select")) target.tabIndex = -1;
    target?.focus({ preventScroll: true });
  }
}

/** Mark the category that is shown. */
function markCategory() {
  const { pathname, searchParams } = new URL(location.href);
  for (const each of categories.querySelectorAll("a")) {
    const isHere =
      pathname === "/" && !searchParams.has("q") && each.dataset.category === (searchParams.get("category") ?? "");
    if (isHere) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function failed(error, again) {
  const isUnknown = error instanceof shop.Problem && error.status === 404;
  if (!(error instanceof shop.Problem)) console.error(error);
  const title = isUnknown ? "We cannot find this page" : "This page could not be loaded";
  const detail = error instanceof shop.Problem ? error.message : "Something went wrong in this page.";
  return {
    title,
    content: h(
      "div.narrow.message-page",
      null,
      icon("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z", "M12 7.5v6", "M12 16.6v.2"),
      h("h1", null, title),
      h("p", null, isUnknown ? "It may have been removed, or it belongs to another browser’s cart." : detail),
      h(
        "p.actions",
        null,
        !isUnknown && button("Try again", again),
        h("a.button.quiet", { href: "/" }, "Go to the shop"),
      ),
    ),
  };
}

async function listCategories() {
  const entry = (name, label) => {
    const href = name ? `/?${new URLSearchParams({ category: name })}` : "/";
    return h("li", null, h("a", { href, "data-category": name }, label));
  };
  try {
    const names = await shop.categories();
    fill(
      categories,
      entry("", "All"),
      names.map((name) => entry(name, title(name))),
    );
    markCategory();
  } catch {
    // Without categories there is still the search.
  }
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  const modified = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
  if (!anchor || modified || event.defaultPrevented || anchor.target) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || url.hash || !find(url.pathname)) return;
  event.preventDefault();
  go(url.pathname + url.search);
});
// As a link it would be a step in the history, and the page would be shown again.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
search.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = search.elements.q.value.trim();
  go(words ? `/?${new URLSearchParams({ q: words })}` : "/");
});
addEventListener("popstate", (event) => render({ moved: true, scroll: event.state?.scroll ?? 0 }));
addEventListener("pagehide", keepScroll);
// Another tab has changed the cart.
addEventListener("storage", (event) => event.key === shop.CHANGED && refreshCart());

history.scrollRestoration = "manual";
await Promise.all([render({ scroll: history.state?.scroll ?? 0 }), refreshCart(), listCategories()]);
