// Inside the frame: what the customer typed goes to the provider and nowhere else; the page that
// embeds the frame is told the id of the payment method, or what was mistyped.
"use strict";
(() => {
  const CHANNEL = "sandbox-fields";
  const form = document.querySelector("form");
  const complaint = document.querySelector("[role=alert]");

  function expiry() {
    const [month = "", year = ""] = form.expiry.value.split("/").map((part) => part.trim());
    return { month, year };
  }

  function body(billingDetails) {
    const { month, year } = expiry();
    const params = new URLSearchParams({
      type: "card",
      "card[number]": form.number.value.replace(/\s/g, ""),
      "card[exp_month]": month,
      "card[exp_year]": year,
      "card[cvc]": form.cvc.value.trim(),
    });
    for (const name of ["email", "name", "phone"]) {
      if (billingDetails?.[name]) params.set(`billing_details[${name}]`, billingDetails[name]);
    }
    return params;
  }

  function mistyped() {
    const fields = { number: "incomplete_number", expiry: "incomplete_expiry", cvc: "incomplete_cvc" };
    for (const [name, code] of Object.entries(fields)) {
      if (!form[name].checkValidity()) {
        return { code, message: form[name].dataset.complaint, param: name };
      }
    }
    return null;
  }

  async function tokenize({ publishableKey, billingDetails }) {
    const error = mistyped();
    if (error) return { error };
    try {
      const response = await fetch("/v1/payment_methods", {
        method: "POST",
        headers: { Authorization: `Bearer ${publishableKey}` },
        body: body(billingDetails),
      });
      const answer = await response.json();
      if (!response.ok) {
        const { code, message, param } = answer.error;
        return { error: { code, message, param } };
      }
      const { brand, exp_month, exp_year, last4 } = answer.card;
      return { paymentMethod: { id: answer.id, card: { brand, exp_month, exp_year, last4 } } };
    } catch {
      return { error: { code: "unreachable", message: "The card could not be checked." } };
    }
  }

  window.addEventListener("message", async (event) => {
    if (event.source !== window.parent || event.data?.channel !== CHANNEL) return;
    if (event.data.kind !== "tokenize") return;
    const result = await tokenize(event.data);
    complaint.textContent = result.error?.message ?? "";
    const answer = { channel: CHANNEL, kind: "result", id: event.data.id, result };
    window.parent.postMessage(answer, event.origin);
  });

  form.addEventListener("submit", (event) => event.preventDefault());
  // It says nothing but that it is there, so anybody may hear it.
  window.parent.postMessage({ channel: CHANNEL, kind: "ready" }, "*");
})();
