// <time datetime data-relative> stays true: "5 min. ago", in the words of the server (`left4me/core/moments.py:relative`).
// The full moment is in its title, as the server wrote it. The server learns the browser's time zone from a cookie; only before that are moments rewritten here.
const language = document.documentElement.lang || "en";
const relative = new Intl.RelativeTimeFormat(language, { style: "short" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const shown = document.body.dataset;
const isOther = Boolean(zone) && shown.timeZoneChosen === undefined && shown.timeZone !== zone;
const parts = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const absolute = new Intl.DateTimeFormat(language, parts);
const full = new Intl.DateTimeFormat(language, { ...parts, second: "2-digit", timeZoneName: "short" });

if (isOther) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `time_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

function inOwnZone(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.title = full.format(at);
    if (time.dataset.absolute !== undefined) time.textContent = absolute.format(at);
  }
}
const steps = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", 30],
  ["month", 12],
  ["year", Infinity],
];

function inWords(seconds) {
  let amount = seconds;
  for (const [unit, size] of steps) {
    if (Math.abs(amount) < size) return relative.format(Math.trunc(amount), unit);
    amount /= size;
  }
  return "";
}

function sinceWords(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function refresh(root = document) {
  for (const time of root.querySelectorAll("time[data-relative]")) {
    const text = inWords((new Date(time.dateTime) - Date.now()) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

// <time data-since> counts up, second by second, for what is running now; <time data-until> counts down to what comes.
function count() {
  for (const time of document.querySelectorAll("time[data-until]")) {
    const left = (new Date(time.dateTime) - Date.now()) / 1000;
    time.textContent = left > 0 ? sinceWords(left) : time.dataset.over;
  }
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = sinceWords((Date.now() - new Date(time.dateTime)) / 1000);
  }
}

// Not again after a swap: the answers to later requests are in the browser's zone.
if (isOther) inOwnZone(document);
refresh();
count();
setInterval(() => document.hidden || refresh(), 10_000);
setInterval(() => document.hidden || count(), 1_000);
// Right after the swap, before it is painted: "htmx:load" comes later and would let dates flash up.
for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap", "htmx:load"]) {
  document.addEventListener(name, () => {
    refresh();
    count();
  });
}
