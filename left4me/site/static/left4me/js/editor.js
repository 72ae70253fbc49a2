// <div data-editor><textarea>: shows the numbers of the lines; Tab indents only while text is selected.
for (const editor of document.querySelectorAll("[data-editor]")) {
  const text = editor.querySelector("textarea");
  const numbers = document.createElement("div");
  numbers.className = "editor-lines";
  numbers.setAttribute("aria-hidden", "true");
  editor.prepend(numbers);

  let shown = 0;
  const count = () => {
    const lines = text.value.split("\n").length;
    if (lines === shown) return;
    shown = lines;
    numbers.textContent = Array.from({ length: lines }, (_, line) => line + 1).join("\n");
  };
  const follow = () => {
    numbers.scrollTop = text.scrollTop;
  };
  // The numbers only match when both are drawn in the same letters, and are as high.
  const fit = () => {
    const { font, lineHeight, paddingTop } = getComputedStyle(text);
    numbers.style.font = font;
    numbers.style.lineHeight = lineHeight;
    numbers.style.paddingTop = paddingTop;
    numbers.style.height = `${text.offsetHeight}px`;
  };
  text.addEventListener("input", count);
  text.addEventListener("scroll", follow);
  new ResizeObserver(fit).observe(text);
  count();
}
