// Single keys: / goes to the search of the page, ? shows the keys, g and a letter opens a page of the side bar. They rest
// while something is typed or a dialog is open, and people who speak to their computer can switch them off.
const OFF = "keys-off";
const WITHIN_MS = 1500;
const list = document.getElementById("keys");
const box = document.getElementById("keys-on");
let wentAt = -Infinity;

if (list) {
  box.checked = localStorage.getItem(OFF) === null;
  box.addEventListener("change", () => {
    if (box.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, select, textarea, [contenteditable], [role=listbox]")) return;
    if (document.querySelector("dialog[open]") || !box.checked) return;
    if (press(event.key)) event.preventDefault();
  });
}

function press(key) {
  const isSecond = performance.now() - wentAt < WITHIN_MS;
  wentAt = -Infinity;
  if (isSecond) {
    const place = document.querySelector(`.places a[data-key="${CSS.escape(key)}"]`);
    place?.click();
    return place !== null;
  }
  if (key === "g") wentAt = performance.now();
  else if (key === "?") list.showModal();
  else if (key === "/") search();
  else return false;
  return true;
}

function search() {
  const field = document.querySelector("main input[type=search]");
  if (field) field.select();
  else document.querySelector("[data-palette]")?.click();
}
