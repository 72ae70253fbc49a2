// A picture that cannot be loaded becomes the first letter of what it shows, not the browser's broken image.
function letterFor(image) {
  const letter = document.createElement("span");
  letter.className = image.className;
  letter.ariaHidden = "true";
  letter.textContent = image.dataset.letter;
  image.replaceWith(letter);
}

const broken = (element) => element instanceof HTMLImageElement && element.dataset.letter !== undefined;

// "error" does not bubble, but it can be captured.
document.addEventListener("error", (event) => broken(event.target) && letterFor(event.target), true);
// Those that failed before this module ran.
for (const image of document.querySelectorAll("img[data-letter]")) {
  if (image.complete && !image.naturalWidth && image.currentSrc) letterFor(image);
}
