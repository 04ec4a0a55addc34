// Shows /openapi.json. Nothing is sent to another host: no validator, no link in the URL to another document.
SwaggerUIBundle({
  dom_id: "#viewer",
  url: "/openapi.json",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  tagsSorter: "none",
  requestSnippetsEnabled: true,
  withCredentials: false,
});

// What the viewer's markup lacks for screen readers and keyboards.
const repairs = {
  "#viewer select:not([aria-label])": (each) => each.setAttribute("aria-label", selectName(each)),
  "#viewer textarea:not([aria-label])": (each) => each.setAttribute("aria-label", "Request body"),
  ".responses-table[role]": (each) => each.removeAttribute("role"),
  ".information-container:not([role])": (each) => {
    each.setAttribute("role", "region");
    each.setAttribute("aria-label", "About this API");
  },
  ".scheme-container:not([role])": (each) => {
    each.setAttribute("role", "region");
    each.setAttribute("aria-label", "Server and keys");
  },
  // A link within a button: the button does the same.
  ".opblock-summary-control a[href]": (each) => each.removeAttribute("href"),
  "pre.microlight:not([tabindex]), .microlight > code:not([tabindex])": (each) => each.setAttribute("tabindex", "0"),
};

function selectName(select) {
  if (select.id === "servers") return "Server";
  const parameter = select.closest("tr")?.dataset.paramName;
  if (parameter) return parameter;
  return select.closest(".examples-select") ? "Example" : "Media type";
}

function repair() {
  for (const [selector, mend] of Object.entries(repairs)) document.querySelectorAll(selector).forEach(mend);
}

new MutationObserver(repair).observe(document.getElementById("viewer"), { childList: true, subtree: true });
