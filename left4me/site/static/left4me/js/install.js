// The service worker (sw.js), and an entry in the user's menu where the browser can install left4me as an app.
if ("serviceWorker" in navigator) {
  // Not now: the page's own files come first.
  addEventListener("load", () => navigator.serviceWorker.register("/sw.js").catch(() => {}), { once: true });
}

const entry = document.querySelector("[data-install]");
let offer;

addEventListener("beforeinstallprompt", (event) => {
  if (!entry) return;
  event.preventDefault();
  offer = event;
  entry.hidden = false;
});
addEventListener("appinstalled", () => entry && (entry.hidden = true));

entry?.addEventListener("click", async () => {
  offer?.prompt();
  await offer?.userChoice;
  entry.hidden = true;
});
