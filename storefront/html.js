// Builds elements without parsing text as HTML, so that nothing from the API can become markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 * @param {string} tag "p", or "p.class.class"
 * @param {object|null} [props] attributes; `on…` functions are listeners; false, null and undefined are left out
 * @param {...(Node|string|number|null|false|undefined|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return filled(document.createElement(name), classes, props, children);
}

/** A decorative icon: the path of a 24 × 24 drawing, or several. */
export function icon(...paths) {
  const props = { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false", class: "icon" };
  const drawn = paths.map((d) => filled(document.createElementNS(SVG, "path"), [], { d }, []));
  return filled(document.createElementNS(SVG, "svg"), [], props, drawn);
}

function filled(element, classes, props, children) {
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") element.classList.add(...value.split(" "));
    else if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

/** Replace the content of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

/** Empty an element. If the focus was in it, `control` gets the focus. */
export function clear(element, control) {
  if (element.contains(document.activeElement)) control.focus();
  fill(element);
}

/** A link inside the shop; the router (app.js) follows it without loading the page again. */
export const link = (href, props, ...children) => h("a", { href, ...props }, ...children);

/** A button that cannot be pressed twice while its action is in progress. */
export function button(label, onclick, props = {}) {
  const { tag = "button.button", ...others } = props;
  const made = h(tag, { type: "button", ...others }, label);
  if (onclick) made.addEventListener("click", () => busy(made, onclick));
  return made;
}

/**
 * Run `action` with `control` marked as busy. It keeps the focus, and further presses do nothing.
 * @param {HTMLElement} control
 * @param {() => any} action
 */
export async function busy(control, action) {
  if (control.getAttribute("aria-disabled") === "true") return undefined;
  control.setAttribute("aria-disabled", "true");
  control.classList.add("busy");
  try {
    return await action();
  } finally {
    control.removeAttribute("aria-disabled");
    control.classList.remove("busy");
  }
}

/** The picture of a product; a neutral shape in its place when there is none, or it cannot be loaded. */
export function picture(url, props = {}) {
  const own = url && ownPath(url);
  const empty = () =>
    h("span.picture.no-picture", { "aria-hidden": "true" }, icon("M4 5h16v14H4z", "m5 17 5-6 4 4 2-2 3 4"));
  if (!own) return empty();
  const image = h("img.picture", { src: own, alt: "", width: 800, height: 800, decoding: "async", ...props });
  image.addEventListener("error", () => image.replaceWith(empty()), { once: true });
  return image;
}

// The demo catalogue's URLs begin with PUBLIC_URL. The page may be open under another name of the same host.
function ownPath(url) {
  const path = new URL(url, location.href).pathname;
  return path.startsWith("/storefront/pictures/") ? path : url;
}

let nextId = 0;
/** An id that no other element has. */
export const uniqueId = (name) => `${name}-${(nextId += 1)}`;
