// One connection for all that moves on the page: signals of what changed, and the lines of logs.
//
//   <div id="server-state" data-signals="server:12 players:12 job:*" hx-get="…" hx-trigger="signal">
//
// An element with data-signals gets a "signal" event when one of these has changed, and asks for itself again: at once,
// then at most once in data-signals-pause seconds (1). Everything is asked for when the tab shows again and after the
// connection was lost; every few seconds while there is none; and now and then, for what only time changes.
//
// "live:follow" with {name: "job:7", after: "40", take(kind, data, position)} adds a stream to the connection, "live:leave"
// with {name} takes it off. `take` also gets "open" and "lost" as the connection comes and goes.
const ADDRESS = "/live";
const PAUSE = 1000;
const ASK_WITHOUT = 5000;
const ASK_ANYWAY = 900_000;
// The server says something every 15 s.
const DEAD_AFTER = 40_000;
// Browsers open few connections to one site: a tab that nobody looks at gives its one back.
const LEAVE_HIDDEN_AFTER = 10_000;
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;

const page = document.body.dataset;
const followed = new Map();
const asked = new Map();
let source;
let position = page.liveAt;
let current = "-";
let isLive = false;
let wasLost = false;
let heardAt = 0;
let wait = FIRST_WAIT;
let retry;
let leaving;
let joining;

const jitter = (most) => Math.random() * most;

function ask(element) {
  if (!element.isConnected || (document.hidden && !("signalsHidden" in element.dataset && watches()))) return;
  element.dispatchEvent(new CustomEvent("signal"));
}

function askSoon(element) {
  const before = asked.get(element.id) ?? { at: -Infinity };
  if (before.timer) return;
  const pause = 1000 * Number(element.dataset.signalsPause ?? PAUSE / 1000);
  const now = performance.now();
  const rest = before.at + pause - now;
  if (rest <= 0) {
    asked.set(element.id, { at: now });
    ask(element);
    return;
  }
  const timer = setTimeout(() => {
    asked.set(element.id, { at: performance.now() });
    ask(document.getElementById(element.id) ?? element);
  }, rest);
  asked.set(element.id, { ...before, timer });
}

function askAll() {
  for (const element of document.querySelectorAll("[data-signals]")) askSoon(element);
}

function tell(names) {
  if (names.includes("*")) return askAll();
  const known = new Set(names);
  for (const name of names) known.add(`${name.split(":")[0]}:*`);
  for (const element of document.querySelectorAll("[data-signals]")) {
    if (element.dataset.signals.split(" ").some((name) => known.has(name))) askSoon(element);
  }
}

// Whether this tab keeps its connection while it is hidden: notify.js sets it in one tab of the browser.
function watches() {
  return "watches" in page;
}

function connect() {
  clearTimeout(retry);
  clearTimeout(joining);
  source?.close();
  const query = new URLSearchParams();
  if (position) query.set("last_seq", position);
  for (const [name, { after }] of followed) {
    const [kind, number] = name.split(":");
    query.append(kind, `${number}:${after}`);
  }
  current = "-";
  heardAt = performance.now();
  source = new EventSource(`${ADDRESS}?${query}`);
  const own = source;
  own.onerror = () => own === source && lost();
  const on = (kind, act) =>
    own.addEventListener(kind, (event) => {
      if (own !== source) return;
      heard();
      act(event);
    });
  on("still", () => {});
  on("on", (event) => {
    current = event.data;
  });
  on("signal", (event) => {
    position = event.lastEventId;
    tell(event.data.split(" "));
  });
  for (const kind of ["line", "note"]) {
    on(kind, (event) => {
      const stream = followed.get(current);
      if (!stream) return;
      if (event.lastEventId) stream.after = event.lastEventId;
      stream.take(kind, event.data);
    });
  }
  for (const kind of ["progress", "state"]) on(kind, (event) => followed.get(current)?.take(kind, event.data));
  for (const kind of ["end", "gone"]) {
    on(kind, (event) => {
      const stream = followed.get(current);
      followed.delete(current);
      stream?.take(kind, event.data);
    });
  }
}

function heard() {
  heardAt = performance.now();
  wait = FIRST_WAIT;
  if (isLive) return;
  isLive = true;
  if (wasLost) askAll();
  wasLost = false;
  document.body.toggleAttribute("data-live", true);
  for (const { take } of followed.values()) take("open");
}

function drop() {
  source?.close();
  source = undefined;
  isLive = false;
  document.body.toggleAttribute("data-live", false);
}

function lost() {
  const was = isLive;
  drop();
  wasLost = true;
  for (const { take } of followed.values()) take("lost");
  clearTimeout(retry);
  retry = setTimeout(connect, wait + jitter(wait / 2));
  wait = Math.min(2 * wait, LONGEST_WAIT);
  // The page learns whether left4me is away altogether, and says so.
  if (was) setTimeout(askAll, jitter(2000));
}

// The lines that came meanwhile follow; signals are answered by asking for everything.
function comeBack() {
  clearTimeout(leaving);
  if (!source || performance.now() - heardAt > DEAD_AFTER) {
    wait = FIRST_WAIT;
    drop();
    connect();
  }
  askAll();
}

function join() {
  clearTimeout(joining);
  if (source) joining = setTimeout(connect, 0);
}

document.addEventListener("live:follow", ({ detail: { name, after, take } }) => {
  followed.set(name, { after, take });
  join();
});
document.addEventListener("live:leave", ({ detail: { name } }) => followed.delete(name) && join());

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return comeBack();
  leaving = setTimeout(() => {
    if (watches()) return;
    clearTimeout(retry);
    drop();
  }, LEAVE_HIDDEN_AFTER);
});
addEventListener("online", comeBack);
addEventListener("offline", lost);
// A page in the browser's memory must not hold a connection; shown again, it is the page of some time ago.
addEventListener("pagehide", drop);
addEventListener("pageshow", (event) => event.persisted && comeBack());

if (page.liveAt) {
  // After the other scripts, which add their streams.
  document.addEventListener("DOMContentLoaded", connect);
  setInterval(() => {
    if (isLive && performance.now() - heardAt > DEAD_AFTER) lost();
    if (!isLive && !document.hidden) askAll();
  }, ASK_WITHOUT);
  setInterval(askAll, ASK_ANYWAY + jitter(ASK_ANYWAY / 10));
}
