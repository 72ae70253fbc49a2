// <button data-dialog="id"> opens <dialog id>, [data-close] inside closes it; htmx content may arrive open by data-open.
// A form, link or htmx element with data-confirm="question" asks first, in the page's own dialog.
const asked = document.getElementById("confirm");

function confirmFirst(element) {
  asked.querySelector("[data-confirm-title]").textContent = element.dataset.confirm;
  const note = asked.querySelector("[data-confirm-note]");
  note.textContent = element.dataset.confirmNote ?? "";
  note.hidden = !note.textContent;
  const button = asked.querySelector('button[value="yes"]');
  button.textContent = element.dataset.confirmButton ?? button.dataset.text;
  const harmless = "confirmHarmless" in element.dataset;
  button.classList.toggle("danger", !harmless);
  button.classList.toggle("primary", harmless);
  asked.returnValue = "";
  asked.showModal();
  return new Promise((resolve) => {
    asked.addEventListener("close", () => resolve(asked.returnValue === "yes"), { once: true });
  });
}

document.addEventListener("htmx:confirm", (event) => {
  const element = event.detail.elt;
  const submitter = event.detail.triggeringEvent?.submitter;
  const question = submitter?.dataset.confirm ? submitter : element;
  if (!question.dataset.confirm) return;
  event.preventDefault();
  confirmFirst(question).then((yes) => yes && event.detail.issueRequest(true));
});

document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    const question = event.submitter?.dataset.confirm ? event.submitter : form;
    const sent = ["hx-post", "hx-put", "hx-patch", "hx-delete", "hx-get"].some((name) => form.hasAttribute(name));
    if (!question.dataset.confirm || sent || form.dataset.confirmed) return;
    event.preventDefault();
    confirmFirst(question).then((yes) => {
      if (!yes) return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(event.submitter);
      delete form.dataset.confirmed;
    });
  },
  { capture: true },
);

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.dialog)?.showModal();
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
  // A click on the backdrop arrives at the dialog itself.
  if (event.target.matches?.("dialog.dialog")) event.target.close();
});

document.addEventListener("htmx:load", (event) => {
  const found = event.detail.elt;
  const dialogs = [found, ...found.querySelectorAll("dialog")].filter((each) => each.matches("dialog[data-open]"));
  for (const dialog of dialogs) if (!dialog.open) dialog.showModal();
});
