// <form data-console>: the field empties once a command is on its way, and the arrow keys bring back earlier ones.
const form = document.querySelector("form[data-console]");
const field = form?.querySelector("[name=value]");
const sent = [];
let place = 0;

form?.addEventListener("htmx:afterRequest", (event) => {
  if (event.target !== form || !event.detail.successful) return;
  if (sent.at(-1) !== field.value) sent.push(field.value);
  place = sent.length;
  field.value = "";
  field.focus();
});

field?.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  // With text of one's own in the field the arrows choose from the completion.
  if (!step || (field.value && field.value !== sent[place])) return;
  const next = place + step;
  if (next < 0 || next > sent.length) return;
  event.preventDefault();
  place = next;
  field.value = sent[place] ?? "";
});
