"use strict";
// What the pages can't do without script: security keys. Everything else works as plain forms.

const octets = (text) => {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
};
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const described = (list) => (list || []).map((known) => ({ ...known, id: octets(known.id) }));

/** The answer of a security key as JSON (W3C Web Authentication Level 3, section 5.1). */
const written = (credential) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response,
    extensions: credential.getClientExtensionResults(),
  };
};

const post = (path, body) => {
  const headers = { "Content-Type": "application/json" };
  const token = document.cookie.split("; ").find((pair) => pair.startsWith("__Host-certctl_csrf="));
  if (token) headers["X-CSRF-Token"] = token.slice(token.indexOf("=") + 1);
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body), credentials: "same-origin" });
};

const tell = (form, message) => {
  const place = form.querySelector("[role=alert]");
  place.textContent = message;
  place.hidden = false;
};

const refusals = {
  401: "The account or the password is wrong, the account is locked, or it may not sign in.",
  404: "Emergency sign-in is not open.",
  429: "Too many attempts. Wait a minute and try again.",
};
const refused = (response) => refusals[response.status] || "certctl can't answer at the moment. Try again.";

const answered = async (challenge) => {
  const { publicKey } = challenge.options;
  const asked = { ...publicKey, challenge: octets(publicKey.challenge) };
  asked.allowCredentials = described(publicKey.allowCredentials);
  const credential = await navigator.credentials.get({ publicKey: asked });
  return post("/auth/breakglass/webauthn", {
    challenge_id: challenge.challenge_id,
    credential: written(credential),
  });
};

const emergency = document.getElementById("breakglass");
if (emergency && window.PublicKeyCredential) {
  emergency.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { actor_id, password, return_to } = emergency.elements;
      let response = await post("/auth/breakglass/login", { actor_id: actor_id.value, password: password.value });
      if (response.status === 401) {
        const challenge = await response.json();
        if (challenge.code !== "second_factor_required") return tell(emergency, refusals[401]);
        response = await answered(challenge);
        if (response.status === 401) return tell(emergency, "The security key's answer was not accepted.");
      }
      if (response.status !== 204) return tell(emergency, refused(response));
      location.assign(return_to.value);
    } catch (error) {
      tell(emergency, "The security key did not answer: " + error.message);
    }
  });
}

const registration = document.getElementById("register-key");
if (registration && window.PublicKeyCredential) {
  registration.hidden = false;
  registration.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const begun = await post("/api/v1/auth/breakglass/webauthn/registrations", {});
      const challenge = await begun.json();
      if (!begun.ok) return tell(registration, challenge.message);
      const { publicKey } = challenge.options;
      const asked = { ...publicKey, challenge: octets(publicKey.challenge) };
      asked.user = { ...publicKey.user, id: octets(publicKey.user.id) };
      asked.excludeCredentials = described(publicKey.excludeCredentials);
      const credential = await navigator.credentials.create({ publicKey: asked });
      const done = await post("/api/v1/auth/breakglass/webauthn/keys", {
        challenge_id: challenge.challenge_id,
        name: registration.elements.name.value,
        credential: written(credential),
      });
      if (!done.ok) return tell(registration, (await done.json()).message);
      location.reload();
    } catch (error) {
      tell(registration, "The security key did not answer: " + error.message);
    }
  });
}
