// The payer's side of a payment: card fields of the provider's own, a confirm with the token they
// give, the way to the bank when it wants to ask, and then the outcome - as the shop's server has
// it from the gateway. No card number comes into this page.
"use strict";
(() => {
  const main = document.querySelector("main");
  const { api, order, payment, clientSecret, session, publishableKey, fieldsKey } = main.dataset;
  if (!payment) return;

  const form = document.querySelector("#pay");
  const outcome = document.querySelector("#outcome");
  const bank = document.querySelector("#bank");
  const again = document.querySelector("#again");
  const TRIES = 8;
  const POLL_MS = 1000;
  const PATIENCE_MS = 120000;
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  function say(state, text) {
    outcome.dataset.state = state;
    outcome.textContent = text;
  }

  async function call(method, path, { body, key } = {}) {
    const headers = {
      Authorization: `Bearer ${publishableKey}`,
      "Paygate-Client-Secret": clientSecret,
      "Paygate-Session": session,
    };
    if (body) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const response = await fetch(`${api}/payment-intents/${payment}${path}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
      credentials: "omit",
    });
    return { response, answer: await response.json() };
  }

  // The same key with every try: whatever the network does, it is one payment.
  async function confirm(token) {
    const key = crypto.randomUUID();
    const body = {
      payment_method: { type: "card", token },
      return_url: `${location.origin}/orders/${order}`,
    };
    for (let tries = 1; ; tries++) {
      try {
        const { response, answer } = await call("POST", "/confirm", { body, key });
        if (response.ok) return answer;
        // Confirmed before, perhaps by another tab of this page: go on from there.
        if (answer.error.payment_intent) return answer.error.payment_intent;
        if (!answer.error.retriable || tries === TRIES) throw new Error(answer.error.message);
        await wait(1000 * Number(response.headers.get("Retry-After") ?? 1));
      } catch (error) {
        if (!(error instanceof TypeError) || tries === TRIES) throw error; // no answer at all
        await wait(1000);
      }
    }
  }

  async function paid() {
    const response = await fetch(`/orders/${order}/status`);
    return response.ok && (await response.json()).paid;
  }

  // Everything that there is to see of a payment; true when nothing more will come.
  async function show(intent) {
    const redirect = intent.next_action?.redirect_to_url;
    form.hidden = intent.status !== "created";
    again.hidden = !["failed", "cancelled"].includes(intent.status);
    bank.hidden = !redirect;
    if (redirect) bank.href = redirect.url;
    switch (intent.status) {
      case "created":
        say("created", "");
        return true;
      case "succeeded":
      case "requires_capture":
        if (!(await paid())) return false;
        say("succeeded", "Thank you. Your order is paid.");
        return true;
      case "failed":
      case "cancelled":
        say("failed", intent.last_payment_error?.message ?? "The payment was cancelled.");
        return true;
      default:
        say("waiting", redirect ? "Your bank has a question." : "The payment is under way ...");
        return false;
    }
  }

  async function follow() {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await wait(POLL_MS)) {
      try {
        const { response, answer } = await call("GET", "");
        if (response.status === 404) return say("gone", "This payment is closed.");
        if (response.ok && (await show(answer))) return;
      } catch {
        // No answer: the next one may come.
      }
    }
    say("waiting", "This takes longer than usual. We will write to you as soon as we know.");
  }

  async function pay(fields) {
    const { paymentMethod, error } = await fields.createPaymentMethod();
    if (error) return say("created", error.message);
    say("waiting", "One moment ...");
    const intent = await confirm(paymentMethod.id);
    const redirect = intent.next_action?.redirect_to_url;
    if (redirect) return location.assign(redirect.url);
    await follow();
  }

  const fields = SandboxFields.mount("#card", { publishableKey: fieldsKey });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await pay(fields);
    } catch (error) {
      say("created", `The payment could not be made: ${error.message}`);
    } finally {
      button.disabled = false;
    }
  });
  follow();
})();
