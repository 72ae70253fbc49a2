// What a refreshed fragment must not undo: what the visitor opened, and what other scripts wrote.
const callbacks = window.Idiomorph.defaults.callbacks;

// The server renders a moment as a date; times.js has put it in words. The same moment needs no new text.
callbacks.beforeNodeMorphed = (old, fresh) =>
  !(old.nodeName === "TIME" && fresh.nodeName === "TIME" && old.hasAttribute("data-relative") && old.dateTime === fresh.dateTime);

callbacks.beforeAttributeUpdated = (name, node) =>
  !(
    (name === "open" && node.matches("details, dialog")) ||
    (name === "title" && node.matches("time")) ||
    (name === "checked" && node.matches("[data-keep]"))
  );
