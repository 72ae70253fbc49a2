// <ol class="sortable" data-sortable>: each <li> is moved by its grip with the pointer, or with the arrow keys on the grip.
// The order is the order of the inputs inside; "change" bubbles from the list when it was altered.
const items = (list) => [...list.children].filter((each) => each.matches("li"));

function announce(list) {
  items(list).forEach((item, index, all) => {
    const up = item.querySelector('[data-move="up"]');
    const down = item.querySelector('[data-move="down"]');
    if (up) up.disabled = index === 0;
    if (down) down.disabled = index === all.length - 1;
  });
  list.dispatchEvent(new Event("change", { bubbles: true }));
}

function step(item, way) {
  const list = item.parentElement;
  const other = way < 0 ? item.previousElementSibling : item.nextElementSibling;
  if (!other) return;
  if (way < 0) other.before(item);
  else other.after(item);
  announce(list);
}

function prepare(list) {
  for (const grip of list.querySelectorAll(".grip")) grip.tabIndex = 0;
}

document.addEventListener("keydown", (event) => {
  const grip = event.target.closest?.("[data-sortable] .grip");
  const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!grip || !way) return;
  event.preventDefault();
  step(grip.closest("li"), way);
  grip.focus();
});

// The plain up and down buttons submit their form; in a sortable list the script moves the row itself.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-sortable] [data-move]");
  if (!button || button.closest("[data-sortable]").dataset.sortable === "submit") return;
  event.preventDefault();
  step(button.closest("li"), button.dataset.move === "up" ? -1 : 1);
  if (!button.disabled) button.focus();
});

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest?.("[data-sortable] .grip");
  if (!grip || event.button !== 0) return;
  event.preventDefault();
  const item = grip.closest("li");
  const list = item.parentElement;
  const before = items(list);
  grip.focus();
  item.classList.add("dragged");

  const move = (moved) => {
    const all = items(list);
    const over = all.find((each) => {
      const box = each.getBoundingClientRect();
      return each !== item && moved.clientY > box.top && moved.clientY < box.bottom;
    });
    if (!over) return;
    // Only past the middle, so that rows of different heights do not swap to and fro.
    const box = over.getBoundingClientRect();
    const below = moved.clientY > box.top + box.height / 2;
    const comesLater = all.indexOf(over) > all.indexOf(item);
    if (below && comesLater) over.after(item);
    if (!below && !comesLater) over.before(item);
  };
  // On the document: an element that moves in the tree loses its pointer capture.
  const ended = new AbortController();
  const end = () => {
    ended.abort();
    item.classList.remove("dragged");
    if (items(list).some((each, index) => each !== before[index])) announce(list);
  };
  document.addEventListener("pointermove", move, { signal: ended.signal });
  document.addEventListener("pointerup", end, { signal: ended.signal });
  document.addEventListener("pointercancel", end, { signal: ended.signal });
});

document.querySelectorAll("[data-sortable]").forEach(prepare);
document.addEventListener("htmx:load", (event) => {
  const found = event.detail.elt;
  if (found.matches("[data-sortable]")) prepare(found);
  found.querySelectorAll("[data-sortable]").forEach(prepare);
});
