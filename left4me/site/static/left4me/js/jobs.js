// Moves a job's progress bar with the events of its log's stream.
function bytes(size) {
  const power = size < 1e3 ? 0 : Math.min(Math.floor(Math.log10(size) / 3), 4);
  const digits = power ? 1 : 0;
  const language = document.documentElement.lang;
  return `${(size / 1e3 ** power).toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

document.addEventListener("log:progress", (event) => {
  const box = document.querySelector("[data-job-progress]");
  const { phase, done, total, unit } = event.detail ?? {};
  if (!box || phase === undefined) return;
  box.hidden = false;
  const words = JSON.parse(box.dataset.words);
  const named = phase.match(/^([^“]+) (“.*”)$/s);
  box.querySelector("[data-phase]").textContent = named
    ? (words[`${named[1]} %s`]?.replace("%s", () => named[2]) ?? phase)
    : (words[phase] ?? phase);
  const parts = total ? [done, total] : [done];
  box.querySelector("[data-amount]").textContent =
    unit === "bytes" ? parts.map(bytes).join(" / ") : `${parts.map((part) => part.toLocaleString()).join(" / ")} ${words[unit] ?? unit}`;
  const bar = box.querySelector("progress");
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
});
