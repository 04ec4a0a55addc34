// The shopper has answered the bank in a frame. The shop's page, which shows the frame, is told so.

window.addEventListener("message", ({ source, origin, data, ports }) => {
  const isParent = source === window.parent && source !== window && /^https?:/.test(origin);
  if (isParent && data?.sandbox === "connect" && ports.length === 1) ports[0].postMessage({ event: "answered" });
});
