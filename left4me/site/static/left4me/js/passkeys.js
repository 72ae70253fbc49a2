// A form with data-passkey="make|use" and data-options="address": its button asks the device, and then sends the form.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

async function ask(form) {
  const body = new URLSearchParams({ csrfmiddlewaretoken: form.elements.csrfmiddlewaretoken.value });
  const response = await fetch(form.dataset.options, { method: "POST", body });
  // A confirmation that has run out leads to the page that asks for it.
  if (response.redirected) location.assign(response.url);
  if (response.redirected || !response.ok) throw new Error(response.status === 429 ? "tooMany" : "fault");
  const { publicKey } = await response.json();
  publicKey.challenge = bytes(publicKey.challenge);
  if (publicKey.user) publicKey.user.id = bytes(publicKey.user.id);
  for (const each of [...(publicKey.excludeCredentials ?? []), ...(publicKey.allowCredentials ?? [])]) each.id = bytes(each.id);
  return form.dataset.passkey === "make"
    ? navigator.credentials.create({ publicKey })
    : navigator.credentials.get({ publicKey });
}

function packed(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  const { id, type } = credential;
  return JSON.stringify({ id, rawId: text(credential.rawId), type, response, clientExtensionResults: {} });
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  // Browsers offer passkeys to names over https only, and to localhost.
  if (!window.PublicKeyCredential || !window.isSecureContext) {
    form.querySelector("[data-no-passkeys]")?.removeAttribute("hidden");
    continue;
  }
  for (const each of form.querySelectorAll("[data-with-passkeys]")) each.hidden = false;
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    try {
      form.elements.credential.value = packed(await ask(form));
      form.submit();
    } catch (error) {
      button.disabled = false;
      const words = document.body.dataset[error.message] ?? form.dataset[error.name[0].toLowerCase() + error.name.slice(1)] ?? form.dataset.failed;
      document.dispatchEvent(new CustomEvent("toast", { detail: { tone: "warn", text: words } }));
    }
  });
}
