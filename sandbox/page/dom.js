/** Builds elements without HTML text, so that nothing that a mail or a request contains becomes markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element.
 * @param {string} tag
 * @param {Record<string, any>} properties attributes; `on` maps events to listeners; false, null and undefined are left
 *     out; `true` is an attribute without a value
 * @param {...(Node|string|null|undefined|false)} children
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, String(value));
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return a decorative icon of the page's symbols. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Replace the content of a node and keep the focus: on the new element with the same `data-focus`, else on `fallback`.
 */
export function replaceContent(node, children, fallback = null) {
  const active = document.activeElement;
  const held = active instanceof HTMLElement && node.contains(active) ? active : null;
  const name = held?.dataset.focus;
  const opened = new Set([...node.querySelectorAll("details[open][data-focus]")].map((one) => one.dataset.focus));
  node.replaceChildren(...children.filter(Boolean));
  for (const one of node.querySelectorAll("details[data-focus]")) one.open = opened.has(one.dataset.focus) || one.open;
  if (held === null) return;
  const again = name ? node.querySelector(`[data-focus="${CSS.escape(name)}"]:not([disabled])`) : null;
  (again ?? fallback)?.focus({ preventScroll: true });
}

/** Return a moment (Unix seconds) as a <time>: today's without the date. */
export function moment(seconds) {
  const at = new Date(seconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const text = today ? clock : `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${clock}`;
  return el("time", { datetime: at.toISOString(), title: at.toLocaleString() }, text);
}
