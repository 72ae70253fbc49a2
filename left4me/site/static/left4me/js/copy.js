// <button data-copy="text"> or data-copy-from="#id"; data-copied is what it says afterwards.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const source = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
  const text = source ? (source.value ?? source.textContent).trim() : button.dataset.copy;
  let tone = "ok";
  let words = document.body.dataset.copied;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP browsers keep the clipboard shut: select the text, so that a key copies it.
    const near = source ?? button.parentElement.querySelector("code, input");
    if (near) getSelection().selectAllChildren(near);
    tone = "warn";
    words = document.body.dataset.copyFailed;
  }
  document.dispatchEvent(new CustomEvent("toast", { detail: { tone, text: words } }));
});
