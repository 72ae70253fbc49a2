// <form class="filters" role="search">: what follows the form is fetched again while somebody types or chooses.
// <form id="x" data-select-all>: its [data-all] ticks every box of the form, also those that stand elsewhere in the page.
const LIVE = "main form.filters[role=search]:not([action], [hx-get])";

for (const form of document.querySelectorAll(LIVE)) {
  let waiting;
  let asked = new AbortController();
  const apply = async () => {
    asked.abort();
    asked = new AbortController();
    const chosen = [...new FormData(form)].filter(([, value]) => value !== "");
    const query = new URLSearchParams(chosen).toString();
    const address = location.pathname + (query && `?${query}`);
    try {
      const answer = await fetch(address, { signal: asked.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector(LIVE);
      // A session that has ended, or an error: the whole page says so.
      if (!answer.ok || !fresh) return form.requestSubmit();
      history.replaceState(null, "", address);
      replaceAfter(form, fresh);
    } catch {
      // A later choice replaced this one, or there is no connection.
    }
  };
  const wait = (milliseconds) => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, milliseconds);
  };
  form.addEventListener("input", (event) => event.target.matches("input[type=search]") && wait(250));
  form.addEventListener("change", (event) => event.target.matches("input[type=search]") || wait(0));
}

function replaceAfter(form, fresh) {
  while (form.nextElementSibling) form.nextElementSibling.remove();
  while (fresh.nextElementSibling) {
    const part = document.adoptNode(fresh.nextElementSibling);
    form.parentElement.append(part);
    window.htmx.process(part);
  }
}

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (!form?.matches("[data-select-all]")) return;
  const all = form.querySelector("[data-all]");
  const boxes = [...form.elements].filter((each) => each.type === "checkbox" && each !== all);
  if (event.target === all) for (const box of boxes) box.checked = all.checked;
  const ticked = boxes.filter((box) => box.checked).length;
  all.checked = ticked > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
});
