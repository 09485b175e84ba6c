// The one thing that a page cannot do by itself: ask the browser for a passkey. A form with `data-begin` and
// `data-finish` names the two halves of the ceremony; everything that matters is decided by the server.
"use strict";

const explain = {
  NotAllowedError: "That was cancelled, or it took too long. Nothing has changed; you can try again.",
  InvalidStateError: "This device already holds a passkey for this account.",
  SecurityError: "The browser refuses passkeys on this address. Open the portal by its own name, over HTTPS.",
  NotSupportedError: "This device cannot make a passkey that verifies you. Try a security key or your phone.",
};

const post = async (url, body) => {
  const response = await fetch(url, {
    method: "POST",
    credentials: "same-origin",
    redirect: "error",
    headers: { "content-type": "application/json", accept: "application/json, application/problem+json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail || answer.title || `The portal answered ${response.status}.`);
  return answer;
};

const ceremony = {
  async enrol({ publicKey }) {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
  },
  async assert({ publicKey }) {
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
  },
};

for (const form of document.querySelectorAll("form[data-begin]")) {
  const button = form.querySelector("button");
  const status = form.querySelector("[role=status]");
  const say = (text, fault) => {
    status.textContent = text;
    status.classList.toggle("fault", Boolean(fault));
  };

  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) {
    say("This browser cannot use passkeys here. A current Firefox, Chrome, Edge or Safari can.", true);
    continue;
  }
  button.disabled = false;
  button.focus({ preventScroll: true });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say("Waiting for your passkey …");
    try {
      const label = new FormData(form).get("label") || undefined;
      const options = await post(form.dataset.begin, { label });
      const credential = await ceremony[form.dataset.ceremony](options);
      const { next } = await post(form.dataset.finish, credential.toJSON());
      const target = new URL(next, location.origin);
      if (target.origin !== location.origin) throw new Error("The portal named a place that is not its own.");
      say("Done.");
      location.assign(target);
    } catch (error) {
      say(explain[error.name] || error.message, true);
      button.disabled = false;
      button.focus();
    }
  });
}
