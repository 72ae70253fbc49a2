// <form data-upload="…">: sends its files in chunks, each at its offset, so that a broken upload goes on where it
// ended; also takes files that are dropped on the form. Without this script the form sends them whole.
// About five minutes: an upgrade that changes the database takes less.
const PAUSES = [1000, 2000, 5000, 10000, 20000, ...Array(9).fill(30000)];

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

async function post(url, body, type) {
  const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  const headers = { "X-CSRFToken": token, "Content-Type": type };
  const answer = await fetch(url, { method: "POST", headers, body });
  const isJson = answer.headers.get("Content-Type")?.includes("json");
  return { status: answer.status, data: isJson ? await answer.json() : {} };
}

function row(list, name) {
  const box = document.createElement("div");
  box.className = "progress";
  const words = document.createElement("div");
  words.className = "progress-words";
  const title = document.createElement("span");
  title.textContent = name;
  const state = document.createElement("span");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", name);
  words.append(title, state);
  box.append(words, bar);
  list.append(box);
  return (value, text, tone) => {
    bar.value = value;
    state.textContent = text;
    if (tone) bar.dataset.tone = tone;
  };
}

function refusal(answer) {
  return Object.assign(new Error(answer.data.error ?? answer.status), { cure: answer.data.cure });
}

// What post answers, as soon as the server does: while it is upgraded or out of reach, this asks again.
async function persist(form, url, body, type, lost = () => {}) {
  for (const time of [...PAUSES, null]) {
    try {
      const answer = await post(url, body, type);
      if (answer.status < 500) return answer;
    } catch {
      // The connection is gone.
    }
    lost();
    if (time !== null) await pause(time);
  }
  throw new Error(form.dataset.failed);
}

async function send(form, file, show) {
  const asked = {
    name: file.name,
    folder: form.elements.at.value,
    size: file.size,
    unpack: form.elements.unpack.checked,
  };
  const begun = await persist(form, form.dataset.upload, JSON.stringify(asked), "application/json");
  if (begun.status !== 201) throw refusal(begun);
  const url = `${form.dataset.upload}/${begun.data.id}`;
  let offset = begun.data.offset;
  while (offset < file.size) {
    show(offset / file.size, `${Math.floor((100 * offset) / file.size)} %`);
    const chunk = file.slice(offset, offset + begun.data.chunk);
    const answer = await persist(form, `${url}?offset=${offset}`, chunk, "application/octet-stream");
    if (answer.status !== 200 && answer.status !== 409) throw refusal(answer);
    // A 409 says where the server stands: of a chunk that was cut off, it has the beginning.
    offset = answer.data.offset;
  }
  let isRepeated = false;
  const ended = await persist(form, `${url}/finish`, "", "application/json", () => (isRepeated = true));
  // Asked again because its answer was lost, the server knows the upload no more: it has the file.
  if (isRepeated && ended.status === 404) return undefined;
  if (ended.status !== 202) throw refusal(ended);
  return ended.data.plan;
}

async function sendAll(form, files) {
  const list = form.querySelector("[data-upload-list]");
  let failed = false;
  const plans = [];
  for (const file of files) {
    const show = row(list, file.name);
    try {
      const plan = await send(form, file, show);
      if (plan) plans.push(plan);
      show(1, "100 %", "ok");
    } catch (error) {
      failed = true;
      show(0, error.message, "bad");
      const detail = { text: error.message, tone: "bad", cure: error.cure };
      if (error.cure) document.dispatchEvent(new CustomEvent("toast", { detail }));
    }
  }
  // One archive: its plan. Several wait on this page, which lists them.
  if (!failed && plans.length === 1) location.assign(plans[0]);
  else if (!failed) location.reload();
}

for (const form of document.querySelectorAll("form[data-upload]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendAll(form, [...form.elements.file.files]);
  });
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    sendAll(form, [...event.dataTransfer.files]);
  });
}
