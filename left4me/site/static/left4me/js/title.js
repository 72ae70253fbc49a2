// The title and the icon of the tab carry the state of what the page is about:
// <… data-page-state="● 4/8" data-page-icon="/static/…/favicon-ok.svg">, also after it was swapped.
const name = document.title;
const icon = document.querySelector("link[rel=icon]");
const plain = icon?.getAttribute("href");

function show() {
  const { pageState = "", pageIcon = plain } = document.querySelector("[data-page-state]")?.dataset ?? {};
  const title = pageState ? `${pageState} ${name}` : name;
  if (document.title !== title) document.title = title;
  if (icon && icon.getAttribute("href") !== pageIcon) icon.setAttribute("href", pageIcon);
}

show();
document.addEventListener("htmx:afterSwap", show);
