// What htmx does when something goes wrong, and when nobody looks.
const banner = document.getElementById("offline");
const words = document.body.dataset;
const toast = (text, cure) => document.dispatchEvent(new CustomEvent("toast", { detail: { text, cure, tone: "bad" } }));

function lost(is) {
  if (banner) banner.hidden = !is;
}

addEventListener("offline", () => lost(true));
addEventListener("online", () => lost(false));
document.addEventListener("htmx:sendError", () => lost(true));
document.addEventListener("htmx:timeout", () => lost(true));
document.addEventListener("htmx:afterOnLoad", () => lost(false));

function problem(request) {
  // A proxy without an application behind it answers a page of its own; its text is no help.
  const type = request.getResponseHeader("Content-Type") ?? "";
  if (type.includes("json")) {
    try {
      const said = JSON.parse(request.responseText);
      return { text: said.detail || said.title, cure: said.cure };
    } catch {
      return null;
    }
  }
  return type.startsWith("text/plain") && request.responseText.length < 300 ? { text: request.responseText } : null;
}

document.addEventListener("htmx:responseError", (event) => {
  const { xhr, requestConfig } = event.detail;
  // A poll that fails says nothing new every five seconds.
  const { verb, triggeringEvent } = requestConfig;
  const polled = verb === "get" && (!triggeringEvent || triggeringEvent.type === "signal");
  if (polled && xhr.status >= 500) {
    lost(true);
    return;
  }
  if (polled && (xhr.status === 403 || xhr.status === 404)) {
    // What one may not see any more must not stay there as if it were true; without its element the polling ends.
    const note = document.createElement("p");
    note.className = "message";
    note.textContent = words.gone;
    event.detail.elt.replaceWith(note);
    return;
  }
  if (polled) return;
  const known = { 403: words.refused, 404: words.gone, 409: words.conflict, 429: words.tooMany };
  const said = problem(xhr);
  toast(said?.text ?? known[xhr.status] ?? words.fault, said?.cure);
});

// A hidden tab asks nothing; when it comes back it asks at once (live.js, or "visible-again from:document" in hx-trigger).
document.addEventListener("htmx:beforeRequest", (event) => {
  const trigger = event.detail.elt.getAttribute("hx-trigger") ?? "";
  if (document.hidden && trigger.includes("every ") && !event.detail.requestConfig.triggeringEvent) event.preventDefault();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.dispatchEvent(new CustomEvent("visible-again"));
});
