// Toasts from anywhere: a "toast" event with {text, tone}, or {messages: [...]} as the server's HX-Trigger sends it.
const region = document.getElementById("toasts");
const pattern = document.getElementById("toast");

function show({ text, tone }) {
  if (!text) return;
  const same = [...region.children].find((each) => each.dataset.text === text);
  same?.remove();
  const toast = pattern.content.firstElementChild.cloneNode(true);
  toast.dataset.tone = tone ?? "busy";
  toast.dataset.text = text;
  toast.querySelector("p").textContent = text;
  toast.querySelector("button").addEventListener("click", () => toast.remove());
  region.append(toast);
  while (region.children.length > 4) region.firstElementChild.remove();
  // What went wrong stays until it is read.
  if (tone !== "bad") setTimeout(() => toast.remove(), 6000);
}

document.addEventListener("toast", (event) => {
  for (const each of event.detail.messages ?? [event.detail]) show(each);
});
