// Card fields of the sandbox, for a checkout page: as at Stripe, what the customer types
// goes to the provider's own frame and never into the page.
//
//   const fields = SandboxFields.mount("#card", { publishableKey: "pk_test_..." });
//   const { paymentMethod, error } = await fields.createPaymentMethod({ billingDetails });
//
// The page learns an id, and what a receipt would show: brand, last four digits, expiry.
"use strict";
(() => {
  const origin = new URL(document.currentScript.src).origin;
  const CHANNEL = "sandbox-fields";
  const PATIENCE_MS = 30000;

  function mount(target, { publishableKey }) {
    const place = typeof target === "string" ? document.querySelector(target) : target;
    if (!place) throw new Error(`SandboxFields: nothing to mount on at ${target}`);
    const frame = document.createElement("iframe");
    frame.src = `${origin}/card-fields`;
    frame.title = "Card details";
    frame.style.cssText = "border:0;width:100%;height:9rem";
    const waiting = new Map();
    let asked = 0;
    let reportReady;
    const ready = new Promise((resolve) => (reportReady = resolve));

    function receive(event) {
      if (event.source !== frame.contentWindow || event.origin !== origin) return;
      if (event.data?.channel !== CHANNEL) return;
      if (event.data.kind === "ready") return reportReady();
      const answer = waiting.get(event.data.id);
      waiting.delete(event.data.id);
      answer?.(event.data.result);
    }

    function createPaymentMethod({ billingDetails = {} } = {}) {
      const id = ++asked;
      const answered = ready.then(() => {
        const message = { channel: CHANNEL, kind: "tokenize", id, publishableKey, billingDetails };
        frame.contentWindow.postMessage(message, origin);
        return new Promise((resolve) => waiting.set(id, resolve));
      });
      const error = { code: "unreachable", message: "The card fields do not answer." };
      const tired = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, { error }));
      return Promise.race([answered, tired]);
    }

    function unmount() {
      window.removeEventListener("message", receive);
      frame.remove();
    }

    window.addEventListener("message", receive);
    place.replaceChildren(frame);
    return { ready, createPaymentMethod, unmount };
  }

  window.SandboxFields = { mount };
})();
