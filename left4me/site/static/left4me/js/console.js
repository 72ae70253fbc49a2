// <form data-console>: the field empties once a command is on its way, and the arrow keys bring back earlier ones.
const sent = [];
let place = 0;

document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target.closest("form[data-console]");
  if (form !== event.target || !form || !event.detail.successful) return;
  const field = form.elements.value;
  if (sent.at(-1) !== field.value) sent.push(field.value);
  place = sent.length;
  field.value = "";
  field.focus();
});

document.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const field = event.target;
  if (!step || !field.matches("form[data-console] input")) return;
  // With text of one's own in the field the arrows choose from the completion.
  if (field.value && field.value !== sent[place]) return;
  const next = place + step;
  if (next < 0 || next > sent.length) return;
  event.preventDefault();
  place = next;
  field.value = sent[place] ?? "";
});
