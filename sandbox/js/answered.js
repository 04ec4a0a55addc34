/** Tells the page around the bank's frame that the shopper has answered. */

window.addEventListener("message", ({ source, origin, data, ports }) => {
  const isParent = source === window.parent && source !== window && /^https?:/.test(origin);
  if (isParent && data?.sandbox === "connect" && ports.length === 1) ports[0].postMessage({ event: "answered" });
});
