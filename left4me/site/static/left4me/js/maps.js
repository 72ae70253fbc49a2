// <select data-maps>: a button that opens the campaigns with their pictures and a search; the arrow keys go from map to map.
// The select stays the field that is sent, and what everybody uses without this script.
const made = new WeakSet();

for (const select of document.querySelectorAll("select[data-maps]")) attend(select);
document.addEventListener("htmx:load", (event) => {
  for (const select of event.detail.elt.querySelectorAll("select[data-maps]")) attend(select);
});

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function attend(select) {
  if (made.has(select)) return;
  made.add(select);
  const button = element("button", "button map-button");
  button.type = "button";
  button.id = `${select.id}-button`;
  button.setAttribute("aria-haspopup", "dialog");
  const describedBy = select.getAttribute("aria-describedby");
  if (describedBy) button.setAttribute("aria-describedby", describedBy);
  const label = select.labels[0];
  if (label) {
    label.id ||= `${select.id}-label`;
    label.htmlFor = button.id;
    button.setAttribute("aria-labelledby", `${label.id} ${button.id}`);
  }
  const show = () => {
    const option = select.selectedOptions[0];
    const group = option?.parentElement.matches("optgroup") ? option.parentElement : null;
    button.replaceChildren(...(group ? [picture(group)] : []), element("span", "map-words", words(option, group)));
  };
  let dialog;
  button.addEventListener("click", () => {
    dialog ??= build(select, show);
    dialog.refresh();
    dialog.showModal();
  });
  select.addEventListener("input", show);
  select.addEventListener("change", show);
  select.hidden = true;
  select.after(button);
  show();
}

function words(option, group) {
  return group ? `${group.label}: ${option.text.trim()}` : (option?.text.trim() ?? "");
}

function picture(group) {
  const image = element("img", "art");
  image.src = group.dataset.art;
  image.alt = "";
  image.loading = "lazy";
  image.referrerPolicy = "no-referrer";
  return image;
}

function build(select, show) {
  const dialog = element("dialog", "dialog wide map-dialog");
  const body = element("div", "dialog-body");
  const title = element("h2", "", select.dataset.title);
  title.id = `${select.id}-title`;
  dialog.setAttribute("aria-labelledby", title.id);
  const close = element("button", "button small", select.dataset.close);
  close.type = "button";
  close.dataset.close = "";
  const head = element("div", "card-head");
  head.append(title, close);
  const search = element("input", "input");
  search.type = "search";
  search.autofocus = true;
  search.placeholder = select.dataset.search;
  search.setAttribute("aria-label", select.dataset.search);
  const list = element("div", "map-campaigns");
  const nothing = element("p", "soft", select.dataset.nothing);
  nothing.setAttribute("role", "status");
  for (const part of select.children) list.append(part.matches("optgroup") ? campaign(part) : blank(part));
  body.append(head, search, nothing, list);
  dialog.append(body);
  select.closest("main, body").append(dialog);

  const choices = () => [...list.querySelectorAll("button")].filter((each) => !each.closest("[hidden]"));
  search.addEventListener("input", () => {
    const sought = search.value.trim().toLowerCase();
    for (const part of list.children) filter(part, sought);
    nothing.hidden = choices().length > 0;
  });
  dialog.addEventListener("keydown", (event) => {
    const all = choices();
    const at = all.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (event.key === "Enter" && event.target === search) {
      event.preventDefault();
      if (search.value.trim()) all[0]?.click();
    } else if (step && (at >= 0 || event.key === "ArrowDown")) {
      event.preventDefault();
      (all[at + step] ?? (at + step < 0 ? search : null))?.focus();
    }
  });
  list.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    select.value = chosen.value;
    for (const name of ["input", "change"]) select.dispatchEvent(new Event(name, { bubbles: true }));
    show();
    dialog.close();
  });
  // Opened afresh each time: the form may have been filled by a draft since.
  dialog.refresh = () => {
    search.value = "";
    search.dispatchEvent(new Event("input"));
    for (const each of choices()) each.setAttribute("aria-pressed", String(each.value === select.value));
  };
  return dialog;
}

function campaign(group) {
  const section = element("section", "map-campaign");
  const chapters = element("div", "map-chapters");
  for (const option of group.children) chapters.append(choice(option, group.label));
  section.dataset.words = group.label.toLowerCase();
  section.append(picture(group), element("h3", "", group.label), chapters);
  return section;
}

function blank(option) {
  const section = element("section", "map-chapters");
  section.dataset.words = "";
  section.append(choice(option, ""));
  return section;
}

function choice(option, title) {
  const text = option.text.trim();
  const button = element("button", "button small", text);
  button.type = "button";
  button.value = option.value;
  button.title = option.value;
  button.dataset.words = `${text} ${option.value}`.toLowerCase();
  if (title) button.setAttribute("aria-label", `${title}: ${text}`);
  return button;
}

// A campaign that matches shows all its maps.
function filter(section, sought) {
  const isMatch = section.dataset.words.includes(sought);
  let shown = 0;
  for (const each of section.querySelectorAll("button")) {
    each.hidden = !isMatch && !each.dataset.words.includes(sought);
    shown += each.hidden ? 0 : 1;
  }
  section.hidden = shown === 0;
}
