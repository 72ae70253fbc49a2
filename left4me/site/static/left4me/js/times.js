// <time datetime data-relative> reads "5 minutes ago" and stays true; the full moment is in its title.
const language = document.documentElement.lang || "en";
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
const full = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
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
    const at = new Date(time.dateTime);
    time.title = full.format(at);
    const text = inWords((at - Date.now()) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

// <time data-since> counts up, second by second, for what is running now; <time data-until> counts down to what comes.
function count() {
  for (const time of document.querySelectorAll("time[data-until]")) {
    time.textContent = sinceWords((new Date(time.dateTime) - Date.now()) / 1000);
  }
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = sinceWords((Date.now() - new Date(time.dateTime)) / 1000);
  }
}

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
