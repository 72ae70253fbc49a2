// Keeps what is typed into <form class="form"> until it is saved: over errors, an ended session and an accidental back.
// It stays in this tab and for this user. Passwords, files and forms with data-no-draft are never stored.
const PREFIX = "draft:";
const SENT = "draft-sent";
const user = document.body.dataset.user;
// With the version that was read, so that a restored form is refused when somebody else has saved since then.
const fields =
  "input:not([type=hidden], [type=password], [type=file], [type=submit]), input[name=version], select, textarea";

// Signing out forgets everything: the next person at this browser must not read it.
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-forget-drafts]")) forgetAll();
});

if (user) {
  const forms = [...document.querySelectorAll("form.form[method=post]:not([data-no-draft])")];
  settle(forms);
  forms.forEach(follow);
} else {
  // The page for signing in, or an error: what was sent is not saved.
  sessionStorage.removeItem(SENT);
}

function keyOf(index) {
  return `${PREFIX}${user}:${location.pathname}${location.search}:${index}`;
}

// The server shows what was typed, because it is not saved yet.
function isUnsaved(form) {
  return "bound" in form.dataset || form.querySelector("[aria-invalid=true], .form-errors, .field-errors") !== null;
}

// What was sent is saved, unless the next page shows the form again.
function settle(forms) {
  const sent = sessionStorage.getItem(SENT);
  sessionStorage.removeItem(SENT);
  if (sent && !forms.some((form, index) => keyOf(index) === sent && isUnsaved(form))) sessionStorage.removeItem(sent);
}

function follow(form, index) {
  const key = keyOf(index);
  const first = valuesOf(form);
  const unsaved = isUnsaved(form);
  const draft = JSON.parse(sessionStorage.getItem(key) ?? "null");
  if (draft && !unsaved && differs(draft, first)) offer(form, key, draft, first);
  let waiting;
  let cancelled = false;
  const keep = () => {
    clearTimeout(waiting);
    const now = valuesOf(form);
    try {
      if (!cancelled && (unsaved || differs(now, first))) sessionStorage.setItem(key, JSON.stringify(now));
      else sessionStorage.removeItem(key);
    } catch {
      // The text is larger than the browser stores.
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(keep, 300);
  });
  addEventListener("pagehide", keep);
  form.addEventListener("submit", (event) => {
    keep();
    // Such a button shows something in a frame and saves nothing.
    if (event.submitter?.formTarget) return;
    sessionStorage.setItem(SENT, key);
  });
  form.querySelector(".form-actions a.quiet")?.addEventListener("click", () => {
    cancelled = true;
  });
}

function offer(form, key, draft, first) {
  for (const [name, value] of Object.entries(draft)) write(form, name, value);
  const note = document.getElementById("draft-note").content.firstElementChild.cloneNode(true);
  note.querySelector("button").addEventListener("click", () => {
    for (const [name, value] of Object.entries(first)) write(form, name, value);
    sessionStorage.removeItem(key);
    note.remove();
  });
  form.prepend(note);
  for (const details of form.querySelectorAll("details")) {
    const changed = Object.keys(draft).some((name) => draft[name] !== first[name] && details.querySelector(`[name="${name}"]`));
    if (changed) details.open = true;
  }
}

function valuesOf(form) {
  const values = {};
  for (const field of form.querySelectorAll(fields)) {
    if (!field.name) continue;
    const isChoice = field.type === "checkbox" || field.type === "radio";
    if (isChoice) values[field.name] = [...(values[field.name] ?? []), ...(field.checked ? [field.value] : [])];
    else values[field.name] = field.value;
  }
  return values;
}

function write(form, name, value) {
  for (const field of form.querySelectorAll(fields)) {
    if (field.name !== name) continue;
    if (field.type === "checkbox" || field.type === "radio") field.checked = value.includes(field.value);
    // A choice that is gone since then would leave the field empty.
    else if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function differs(one, other) {
  return JSON.stringify(one) !== JSON.stringify(other);
}

function forgetAll() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft")) sessionStorage.removeItem(key);
}
