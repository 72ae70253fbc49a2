// Keeps static files, whose names change with their content, and one page that says that there is no network. It keeps no
// other page and no answer: what users see always comes from left4me. It also shows the notifications of this browser.
{# In a template, because the addresses and the release are known to the server. #}
const CACHE = "left4me-{{ release }}";
const OFFLINE = "{{ offline|escapejs }}";
const STATIC = "{{ static_url|escapejs }}";
const HAS_HASH = /\.[0-9a-f]{12}\.\w+$/;

async function keepOfflinePage() {
  const cache = await caches.open(CACHE);
  // Without cookies: it is the same for everybody.
  const answer = await fetch(OFFLINE, { credentials: "omit", cache: "no-store" });
  const text = await answer.clone().text();
  const files = [...text.matchAll(/(?:href|src)="([^"]+)"/g)].map((found) => found[1]);
  await cache.put(OFFLINE, answer);
  await cache.addAll(files.filter((file) => file.startsWith(STATIC) && HAS_HASH.test(file)));
}

async function forgetOldReleases() {
  for (const name of await caches.keys()) if (name.startsWith("left4me-") && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function staticFile(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.status === 200) await cache.put(request, answer.clone());
  return answer;
}

async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(OFFLINE);
    if (kept) return kept;
    throw error;
  }
}

// Somebody who looks at left4me sees its bell.
async function notify({ icon, notices }) {
  const tabs = await self.clients.matchAll({ type: "window" });
  if (tabs.some((tab) => tab.visibilityState === "visible")) return;
  for (const { key, title, body, url } of notices) {
    await self.registration.showNotification(title, { body, icon, tag: key, data: { url } });
  }
}

async function open(url) {
  const [tab] = await self.clients.matchAll({ type: "window" });
  if (!tab) return self.clients.openWindow(url);
  await tab.focus();
  return tab.navigate(url);
}

self.addEventListener("install", (event) => event.waitUntil(keepOfflinePage().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(forgetOldReleases()));
self.addEventListener("message", (event) => event.waitUntil(notify(event.data)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.url));
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (pathname.startsWith(STATIC) && HAS_HASH.test(pathname)) event.respondWith(staticFile(request));
});
