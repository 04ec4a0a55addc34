/**
 * The sandbox's stand-in for Stripe.js: what a shop needs of https://docs.stripe.com/js for the Payment Element with a
 * deferred intent. Card numbers are typed in a frame of the sandbox's origin, so the shop's page never sees them.
 */
(() => {
  "use strict";

  const HERE = new URL(".", document.currentScript.src);
  // A frame that says nothing for this long does not answer.
  const LOAD_TIMEOUT_MS = 15000;
  const CALL_TIMEOUT_MS = 45000;
  const UNREACHABLE = {
    type: "api_connection_error",
    message:
      "We are experiencing issues connecting to our payments provider. You have not been charged. Please check your " +
      "internet connection and try again.",
  };
  const UNAUTHENTICATED =
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.";

  /** The shop's page calls this script in a wrong way; Stripe.js throws an error of this name, too. */
  class IntegrationError extends Error {
    name = "IntegrationError";
  }

  function need(condition, message) {
    if (!condition) throw new IntegrationError(message);
  }

  /**
   * Return a frame of the sandbox's origin, and the means to talk to it once it is in the document.
   * @param {string} address
   * @param {string} title what a screen reader says
   * @param {object} greeting sent after each load, only to the sandbox's origin
   * @param {(event: string, detail: any) => void} onEvent
   */
  function openFrame(address, title, greeting, onEvent = () => {}) {
    const node = document.createElement("iframe");
    const waiting = new Map();
    let unsent = [];
    let port = null;
    let last = 0;

    node.title = title;
    node.addEventListener("load", () => {
      port?.close();
      const channel = new MessageChannel();
      port = channel.port1;
      port.onmessage = ({ data }) => {
        if (data.event) onEvent(data.event, data.detail);
        else waiting.get(data.id)?.(data.result);
      };
      node.contentWindow.postMessage({ sandbox: "connect", ...greeting() }, HERE.origin, [channel.port2]);
      for (const message of unsent) port.postMessage(message);
      unsent = [];
    });
    node.src = new URL(address, HERE).href;

    /** Ask the frame for something; resolves with its result, and with an error when it does not answer. */
    function call(verb, argument) {
      const id = ++last;
      return new Promise((resolve) => {
        const timer = setTimeout(() => finish({ error: UNREACHABLE }), CALL_TIMEOUT_MS);
        function finish(result) {
          clearTimeout(timer);
          waiting.delete(id);
          resolve(result);
        }
        waiting.set(id, finish);
        if (port) port.postMessage({ id, verb, argument });
        else unsent.push({ id, verb, argument });
      });
    }

    function close() {
      port?.close();
      node.remove();
      for (const finish of [...waiting.values()]) finish({ error: UNREACHABLE });
    }

    return { node, call, close };
  }

  const schemeOf = (appearance) => (appearance?.theme === "night" ? "dark" : "light");

  class PaymentElement {
    #elements;
    #options;
    #frame = null;
    #listeners = new Map();
    #timer = null;

    constructor(elements, options) {
      this.#elements = elements;
      this.#options = options;
    }

    on(event, listener) {
      const known = ["ready", "change", "loaderror", "loaderstart", "focus", "blur", "escape"];
      need(known.includes(event), `${event} is not a valid event of a Payment Element.`);
      this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
      return this;
    }

    once(event, listener) {
      const first = (detail) => {
        this.off(event, first);
        listener(detail);
      };
      return this.on(event, first);
    }

    off(event, listener = undefined) {
      const kept = listener ? (this.#listeners.get(event) ?? []).filter((each) => each !== listener) : [];
      this.#listeners.set(event, kept);
      return this;
    }

    mount(place) {
      const node = typeof place === "string" ? document.querySelector(place) : place;
      need(node instanceof HTMLElement, "Invalid DOM element: the place to mount the Element in does not exist.");
      this.unmount();
      const frame = openFrame(
        "frame.html",
        "Secure payment input frame",
        () => ({ part: "fields", key: this.#elements.key, options: { ...this.#elements.options, ...this.#options } }),
        (event, detail) => this.#happened(event, detail),
      );
      this.#frame = frame;
      Object.assign(frame.node.style, { border: "0", display: "block", height: "16rem", width: "100%" });
      frame.node.style.colorScheme = schemeOf(this.#elements.options.appearance);
      frame.node.allow = "payment *";
      node.replaceChildren(frame.node);
      this.#timer = setTimeout(() => this.#happened("loaderror", { error: UNREACHABLE }), LOAD_TIMEOUT_MS);
    }

    unmount() {
      clearTimeout(this.#timer);
      this.#frame?.close();
      this.#frame = null;
    }

    destroy() {
      this.unmount();
      this.#listeners.clear();
      this.#elements.element = null;
    }

    focus() {
      void this.#frame?.call("focus");
    }

    update(options) {
      this.#options = { ...this.#options, ...options };
      this.refresh();
    }

    /** Show the current options; not a part of Stripe.js. */
    refresh() {
      if (!this.#frame) return;
      this.#frame.node.style.colorScheme = schemeOf(this.#elements.options.appearance);
      void this.#frame.call("update", { ...this.#elements.options, ...this.#options });
    }

    /** Ask the frame; not a part of Stripe.js. */
    ask(verb, argument) {
      need(this.#frame, "Please make sure the Element you are attempting to use is still mounted.");
      return this.#frame.call(verb, argument);
    }

    #happened(event, detail) {
      if (event === "ready" || event === "loaderror") clearTimeout(this.#timer);
      if (event === "resize" && this.#frame) this.#frame.node.style.height = `${detail.height}px`;
      if (event === "enter") this.#frame?.node.closest("form")?.requestSubmit();
      for (const listener of this.#listeners.get(event) ?? []) listener({ elementType: "payment", ...detail });
    }
  }

  class Elements {
    /** The options of the group, the publishable key, and the one Payment Element. */
    options;
    key;
    element = null;
    isSubmitted = false;

    constructor(key, options) {
      const { mode, amount, currency } = options;
      need(mode === "payment", "Invalid value for elements(): mode should be 'payment', the only one of the sandbox.");
      need(Number.isInteger(amount) && amount > 0, "Invalid value for elements(): amount should be greater than 0.");
      need(/^[a-z]{3}$/.test(currency ?? ""), "Invalid value for elements(): currency should be one like 'usd'.");
      this.key = key;
      this.options = options;
    }

    create(type, options = {}) {
      need(type === "payment", `The sandbox has no '${type}' Element, only 'payment'.`);
      need(!this.element, "Can only create one Element of type payment through this instance of Elements.");
      this.element = new PaymentElement(this, options);
      return this.element;
    }

    getElement(type) {
      return type === "payment" ? this.element : null;
    }

    update(options) {
      this.options = { ...this.options, ...options };
      this.element?.refresh();
    }

    async submit() {
      need(this.element, "elements.submit() needs a Payment Element.");
      const result = await this.element.ask("submit");
      this.isSubmitted = !result.error;
      return result;
    }
  }

  /** Let the shopper answer the bank in a frame above the page; resolves once it is answered or closed. */
  function askBank(address, refuse) {
    const url = new URL(address, HERE);
    need(url.origin === HERE.origin, "The bank's page is not one of the sandbox.");
    return new Promise((resolve) => {
      const dialog = document.createElement("dialog");
      const close = document.createElement("button");
      const frame = openFrame(
        url.href,
        "Your bank’s confirmation",
        () => ({ part: "answered" }),
        (event) => event === "answered" && finish(),
      );
      function finish() {
        frame.close();
        dialog.close();
        dialog.remove();
        resolve();
      }
      async function cancel(event) {
        event.preventDefault();
        if (close.disabled) return;
        close.disabled = true;
        await refuse();
        finish();
      }

      close.type = "button";
      close.textContent = "Cancel";
      close.addEventListener("click", cancel);
      dialog.addEventListener("cancel", cancel);
      dialog.ariaLabel = "Confirm the payment with your bank";
      Object.assign(dialog.style, {
        width: "100vw", height: "100vh", maxWidth: "none", maxHeight: "none", boxSizing: "border-box", margin: "0",
        padding: "1rem", border: "0", background: "rgb(15 20 30 / 70%)", alignContent: "center",
        justifyItems: "center", gap: "0.75rem",
      });
      Object.assign(close.style, {
        justifySelf: "end", minHeight: "2.75rem", padding: "0.5rem 1.25rem", border: "1px solid #fff",
        borderRadius: "0.5rem", background: "#1f2937", color: "#fff", font: "inherit", cursor: "pointer",
      });
      const box = document.createElement("div");
      Object.assign(box.style, { display: "grid", gap: "0.75rem", width: "min(100%, 30rem)" });
      Object.assign(frame.node.style, {
        width: "100%", height: "min(34rem, 75vh)", border: "0", borderRadius: "0.75rem", background: "#fff",
        colorScheme: "light dark",
      });
      box.append(close, frame.node);
      dialog.append(box);
      document.body.append(dialog);
      dialog.showModal();
      dialog.style.display = "grid";
      frame.node.focus();
    });
  }

  class Stripe {
    #key;
    #hidden = null;

    constructor(key) {
      need(typeof key === "string" && key !== "", "Please call Stripe() with your publishable key.");
      need(!key.startsWith("sk_"), "You should not use your secret key with Stripe.js. Pass a publishable key instead.");
      this.#key = key;
    }

    elements(options = {}) {
      return new Elements(this.#key, options);
    }

    async createConfirmationToken({ elements, params = {} } = {}) {
      need(elements instanceof Elements, "createConfirmationToken() needs an `elements` instance.");
      need(elements.isSubmitted, "elements.submit() must be called before stripe.createConfirmationToken().");
      elements.isSubmitted = false;
      return elements.element.ask("token", params);
    }

    async retrievePaymentIntent(clientSecret) {
      need(/^\w+_secret_\w+$/.test(clientSecret ?? ""), "The client secret should be of the form ${id}_secret_${secret}.");
      return this.#controller().call("retrieve", clientSecret);
    }

    async handleNextAction({ clientSecret } = {}) {
      const found = await this.retrievePaymentIntent(clientSecret);
      if (found.error) return found;
      const { id, status, next_action: action } = found.paymentIntent;
      need(status === "requires_action", "handleNextAction: The PaymentIntent supplied is not in the requires_action state.");
      if (action.type === "redirect_to_url") {
        window.location.assign(action.redirect_to_url.url);
        return new Promise(() => {}); // The page is left.
      }
      const bank = `${action.use_stripe_sdk.stripe_js}?client_secret=${encodeURIComponent(clientSecret)}`;
      await askBank(bank, () => this.#controller().call("refuse", id));
      const answered = await this.retrievePaymentIntent(clientSecret);
      const failure = answered.paymentIntent?.last_payment_error;
      if (answered.error || answered.paymentIntent.status !== "requires_payment_method" || !failure) return answered;
      const isRefused = failure.code === "payment_intent_authentication_failure";
      const own = isRefused ? { ...failure, type: "invalid_request_error", message: UNAUTHENTICATED } : failure;
      return { error: { ...own, payment_intent: answered.paymentIntent } };
    }

    /** A hidden frame, for what needs no Element. */
    #controller() {
      if (!this.#hidden?.node.isConnected) {
        this.#hidden = openFrame("frame.html", "", () => ({ part: "controller", key: this.#key }));
        this.#hidden.node.ariaHidden = "true";
        this.#hidden.node.tabIndex = -1;
        this.#hidden.node.style.display = "none";
        document.body.append(this.#hidden.node);
      }
      return this.#hidden;
    }
  }

  window.Stripe = Object.assign((key, options) => new Stripe(key, options), { version: "sandbox" });
})();
