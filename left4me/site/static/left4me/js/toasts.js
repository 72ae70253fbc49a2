// Toasts from anywhere: a "toast" event with {text, tone, cure}, or {messages: [...]} as the server's HX-Trigger sends it.
// `cure` is a button: {label, url, operation}, or a link without an operation. The server fills it from a Cure.
const region = document.getElementById("toasts");
const pattern = document.getElementById("toast");
// A button needs time to be found and reached.
const SECONDS = 8;
const SECONDS_WITH_BUTTON = 20;

function show({ text, tone, cure }) {
  if (!text) return;
  const same = [...region.children].find((each) => each.dataset.text === text);
  same?.remove();
  const toast = pattern.content.firstElementChild.cloneNode(true);
  toast.dataset.tone = tone ?? "busy";
  toast.dataset.text = text;
  toast.querySelector("p").textContent = text;
  if (cure) offer(toast, cure);
  toast.querySelector(".toast-close").addEventListener("click", () => toast.remove());
  region.append(toast);
  while (region.children.length > 4) region.firstElementChild.remove();
  // What went wrong stays until it is read.
  if (tone !== "bad") rest(toast, cure ? SECONDS_WITH_BUTTON : SECONDS);
}

function offer(toast, { label, url, operation }) {
  const button = toast.querySelector(operation ? "[form]" : "a");
  button.textContent = label;
  if (operation) {
    button.setAttribute("formaction", url);
    button.value = operation;
  } else {
    button.href = url;
  }
  button.hidden = false;
}

// A toast goes after a while, but not from under a pointer or the keyboard's focus.
function rest(toast, seconds) {
  let waiting;
  const wait = () => {
    clearTimeout(waiting);
    if (!toast.matches(":hover, :focus-within")) waiting = setTimeout(() => toast.remove(), seconds * 1000);
  };
  for (const name of ["mouseenter", "mouseleave", "focusin"]) toast.addEventListener(name, wait);
  toast.addEventListener("focusout", () => setTimeout(wait));
  wait();
}

document.addEventListener("toast", (event) => {
  for (const each of event.detail.messages ?? [event.detail]) show(each);
});

// What can be taken back is said in passing. Without scripts it stands in the page.
for (const message of document.querySelectorAll("#messages > [data-undo]")) {
  const { value, formAction, textContent } = message.querySelector("button");
  const cure = { label: textContent.trim(), url: formAction, operation: value };
  show({ text: message.querySelector("div").textContent, tone: message.dataset.tone, cure });
}
