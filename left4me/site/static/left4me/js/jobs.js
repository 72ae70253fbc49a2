// Moves a job's progress bar with the events of its log's stream.
document.addEventListener("log:progress", (event) => {
  const box = document.querySelector("[data-job-progress]");
  const { phase, done, total, unit } = event.detail ?? {};
  if (!box || phase === undefined) return;
  box.hidden = false;
  box.querySelector("[data-phase]").textContent = phase;
  box.querySelector("[data-amount]").textContent = `${done.toLocaleString()}${total ? ` / ${total.toLocaleString()}` : ""} ${unit}`;
  const bar = box.querySelector("progress");
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
});
