// <textarea data-complete="/address">: names of settings while a command is typed, with what they do. Arrow keys choose,
// Enter takes the chosen one, Escape closes. Without a choice, Enter starts a new line as ever.
for (const text of document.querySelectorAll("textarea[data-complete]")) attend(text);

function attend(text) {
  const list = document.createElement("ul");
  list.className = "completion";
  list.id = `${text.id}-completion`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", text.dataset.completeLabel ?? "");
  list.hidden = true;
  text.parentElement.append(list);
  text.setAttribute("aria-autocomplete", "list");
  text.setAttribute("aria-controls", list.id);
  text.setAttribute("aria-haspopup", "listbox");

  let chosen = -1;
  let asked = new AbortController();
  let waiting;

  // The first word of a command, up to the caret: a value, a comment or a quoted text is not completed.
  const typed = () => {
    const line = text.value.slice(0, text.selectionStart).split("\n").at(-1);
    return line.match(/^(?:.*;)?\s*\+?(\w{2,})$/)?.[1] ?? "";
  };
  const close = () => {
    asked.abort();
    list.hidden = true;
    chosen = -1;
    text.removeAttribute("aria-activedescendant");
  };
  const choose = (place) => {
    const options = [...list.children];
    chosen = (place + options.length) % options.length;
    options.forEach((option, index) => option.setAttribute("aria-selected", String(index === chosen)));
    options[chosen].scrollIntoView({ block: "nearest" });
    text.setAttribute("aria-activedescendant", options[chosen].id);
  };
  const take = (name) => {
    const word = typed();
    const start = text.selectionStart - word.length;
    text.setRangeText(`${name} `, start, text.selectionStart, "end");
    close();
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.focus();
  };
  const show = (names, word) => {
    if (!names.length || (names.length === 1 && names[0].name === word)) return close();
    chosen = -1;
    text.removeAttribute("aria-activedescendant");
    list.replaceChildren(...names.map((each, index) => optionOf(each, index)));
    place(list, text, word.length);
    list.hidden = false;
  };
  const optionOf = ({ name, default: stock, help }, index) => {
    const option = document.createElement("li");
    option.id = `${list.id}-${index}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    const title = option.appendChild(document.createElement("code"));
    title.textContent = stock ? `${name} ${stock}` : name;
    if (help) option.appendChild(document.createElement("span")).textContent = help;
    // Before the text area loses the focus.
    option.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      take(name);
    });
    return option;
  };

  text.addEventListener("input", () => {
    clearTimeout(waiting);
    const word = typed();
    if (!word) return close();
    waiting = setTimeout(async () => {
      asked.abort();
      asked = new AbortController();
      try {
        const answer = await fetch(`${text.dataset.complete}?q=${encodeURIComponent(word)}`, { signal: asked.signal });
        if (answer.ok && document.activeElement === text) show((await answer.json()).names, word);
      } catch {
        // A later word was typed, or there is no connection: nothing is offered.
      }
    }, 120);
  });
  text.addEventListener("blur", close);
  text.addEventListener("scroll", close);
  text.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen < 0 ? -1 : chosen - 1);
    else if (event.key === "Enter" && chosen >= 0) take(list.children[chosen].querySelector("code").textContent.split(" ")[0]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

// Below the beginning of the word. All letters are as wide as one: the text is monospaced and does not wrap.
function place(list, text, letters) {
  const style = getComputedStyle(text);
  const brush = document.createElement("canvas").getContext("2d");
  brush.font = style.font;
  const before = text.value.slice(0, text.selectionStart).split("\n");
  const left = (before.at(-1).length - letters) * brush.measureText("0").width - text.scrollLeft;
  const top = before.length * parseFloat(style.lineHeight) - text.scrollTop + parseFloat(style.paddingTop);
  list.style.insetInlineStart = `${Math.max(0, text.offsetLeft + Math.min(left, text.clientWidth / 2))}px`;
  list.style.top = `${text.offsetTop + top}px`;
}
