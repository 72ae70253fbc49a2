// Notifications of this browser: what is new in the bell while no tab of left4me is looked at.
//
// One tab of the browser keeps its connection while it is hidden ("watches" of live.js) and hands news to the service worker,
// which shows them unless a tab is visible. What the bell has shown once, in any tab, is no news.
const page = document.body.dataset;
const CHOSEN = `notify-${page.user}`;
const KNOWN = `notify-known-${page.user}`;
const box = document.getElementById("notify");
const isPossible = "serviceWorker" in navigator && "Notification" in window && "locks" in navigator;

const isOn = () => isPossible && Notification.permission === "granted" && localStorage.getItem(CHOSEN) === "on";

function show() {
  if (!box || !isPossible) return;
  box.hidden = false;
  const state = Notification.permission === "denied" ? "denied" : isOn() ? "on" : "off";
  for (const each of box.querySelectorAll("[data-when]")) each.hidden = each.dataset.when !== state;
}

let release;
function watch() {
  if (release || !isOn()) return;
  release = () => {};
  navigator.locks.request("left4me-notify", () => {
    if (!isOn()) return undefined;
    page.watches = "";
    return new Promise((resolve) => {
      release = resolve;
    });
  });
}

function rest() {
  delete page.watches;
  release?.();
  release = undefined;
}

async function turnOn() {
  if ((await Notification.requestPermission()) === "granted") localStorage.setItem(CHOSEN, "on");
  watch();
  show();
}

function turnOff() {
  localStorage.removeItem(CHOSEN);
  rest();
  show();
}

async function tell() {
  const shown = [...document.querySelectorAll("#bell-news [data-notice]")];
  const known = new Set(JSON.parse(localStorage.getItem(KNOWN) ?? "[]"));
  const isFirst = localStorage.getItem(KNOWN) === null;
  localStorage.setItem(KNOWN, JSON.stringify(shown.map((each) => each.dataset.notice)));
  const news = shown.filter((each) => !known.has(each.dataset.notice));
  if (isFirst || !news.length || !document.hidden || !isOn()) return;
  const notices = news.map((each) => {
    const link = each.querySelector("a");
    return { key: each.dataset.notice, title: each.dataset.title, body: each.dataset.body, url: link.href };
  });
  const { active } = await navigator.serviceWorker.ready;
  active.postMessage({ icon: page.appIcon, notices });
}

if (page.user) {
  document.addEventListener("htmx:afterSwap", (event) => event.target.id === "bell-news" && tell());
  box?.querySelector("[data-turn-on]").addEventListener("click", turnOn);
  box?.querySelector("[data-turn-off]").addEventListener("click", turnOff);
  addEventListener("storage", (event) => {
    if (event.key !== CHOSEN) return;
    if (isOn()) watch();
    else rest();
    show();
  });
  show();
  watch();
}
