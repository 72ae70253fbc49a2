// The palette: Ctrl K or [data-palette] opens it, arrow keys choose, Enter goes there or does it, Escape closes.
const palette = document.getElementById("palette");
if (palette) attend();

function attend() {
  const field = document.getElementById("palette-input");
  const results = document.getElementById("palette-results");
  const options = () => [...results.querySelectorAll("[role=option]")];
  let chosen = 0;

  const choose = (place) => {
    const all = options();
    if (!all.length) return field.removeAttribute("aria-activedescendant");
    chosen = (place + all.length) % all.length;
    all.forEach((option, index) => option.setAttribute("aria-selected", String(index === chosen)));
    all[chosen].scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", all[chosen].id);
  };
  const open = () => {
    if (palette.open || document.querySelector("dialog[open]")) return;
    palette.showModal();
    field.select();
    // htmx has its listeners by now, since it is a deferred script before this one.
    window.htmx.trigger(field, "palette");
  };
  const take = (option) => {
    if (!option) return;
    const { address, operation } = option.dataset;
    palette.close();
    if (!operation) return location.assign(address);
    const form = document.getElementById("palette-form");
    form.action = address;
    form.elements.operation.value = operation;
    // What ends a game asks first, as its button does.
    if (operation === "start") delete form.dataset.confirm;
    else form.dataset.confirm = `${option.querySelector(".grow").textContent}?`;
    form.requestSubmit();
  };

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (palette.open) palette.close();
    else open();
  });
  document.addEventListener("click", (event) => event.target.closest("[data-palette]") && open());
  results.addEventListener("click", (event) => take(event.target.closest("[role=option]")));
  results.addEventListener("htmx:afterSwap", () => choose(0));
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) choose(chosen + step);
    else if (event.key === "Enter") take(options()[chosen]);
    else return;
    event.preventDefault();
  });
}
