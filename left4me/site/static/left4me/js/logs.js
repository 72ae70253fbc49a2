// A log that follows its tail unless the reader scrolled up, cheap with thousands of lines.
//
//   <section class="log-view" data-log-view data-stream="job:7" data-after="40" data-keep="5000">
//     … <div class="log" data-log tabindex="0" role="log"> <div class="log-line" data-seq="40">…</div> </div>
//
// With data-levels lines that read like errors and warnings are marked. [data-log-filter] hides lines without its text;
// [data-log-pause] holds new lines back until it is pressed again. What htmx swaps into the log stands among the lines.
//
// The stream is a part of the page's one connection (live.js). Its events: "line" with JSON {seq, stream, line}; "note" with
// words; "end" is the last. "progress", "state" and "end" are handed on as DOM events log:progress … with the parsed data.
const END_SLACK = 32;
const LEVELS = [
  ["error", /\b(error|fatal|failed|failure|exception|segmentation fault|couldn't|could not|unable to)\b/i],
  ["warning", /\b(warning|warn|deprecated|unknown command)\b/i],
];
const levelOf = (text) => LEVELS.find(([, pattern]) => pattern.test(text))?.[0];

class LogView {
  constructor(view) {
    this.view = view;
    this.log = view.querySelector("[data-log]");
    this.keep = Number(view.dataset.keep ?? 5000);
    this.waiting = [];
    this.lastSeq = Number(this.log.lastElementChild?.dataset.seq ?? 0);
    this.following = true;
    this.paused = false;
    this.wanted = "";
    this.top = 0;
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    view.querySelector(".log-tail")?.addEventListener("click", () => this.toTail());
    view.querySelector("[data-log-filter]")?.addEventListener("input", (event) => this.filter(event.target.value));
    view.querySelector("[data-log-pause]")?.addEventListener("click", (event) => this.pause(event.currentTarget));
    this.log.addEventListener("htmx:afterSwap", () => this.pin(3));
    this.toTail();
    this.name = view.dataset.stream;
    if (this.name) this.tell("follow", { after: view.dataset.after ?? "0", take: (kind, data) => this.take(kind, data) });
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    // Only a move upwards is the reader's: lines that turn out taller than estimated push the end away as well.
    if (scrollHeight - scrollTop - clientHeight < END_SLACK) this.following = true;
    else if (scrollTop < this.top) this.following = false;
    this.top = scrollTop;
    this.view.toggleAttribute("data-behind", !this.following);
  }

  toTail() {
    this.following = true;
    this.view.removeAttribute("data-behind");
    this.pin(3);
  }

  filter(text) {
    this.wanted = text.toLowerCase();
    for (const line of this.log.getElementsByClassName("log-line")) this.hide(line);
    this.pin(2);
  }

  hide(line) {
    line.hidden = this.wanted !== "" && !line.textContent.toLowerCase().includes(this.wanted);
  }

  pause(button) {
    this.paused = !this.paused;
    button.setAttribute("aria-pressed", String(this.paused));
    this.state(this.paused ? "paused" : this.connected);
    if (!this.paused) this.flush();
  }

  // Each frame may find lines taller than content-visibility assumed, so the end is sought more than once.
  pin(frames) {
    if (!this.following) return;
    this.log.scrollTop = this.log.scrollHeight;
    this.top = this.log.scrollTop;
    if (frames > 0) requestAnimationFrame(() => this.pin(frames - 1));
  }

  tell(what, detail = {}) {
    document.dispatchEvent(new CustomEvent(`live:${what}`, { detail: { name: this.name, ...detail } }));
  }

  take(kind, data) {
    if (!this.view.isConnected) this.tell("leave");
    else if (kind === "line") this.line(JSON.parse(data));
    else if (kind === "note") this.line({ stream: "note", line: data });
    else if (kind === "open") this.state("live");
    else if (kind === "lost") this.state("reconnecting");
    else if (kind === "gone") this.state("lost");
    else this.handOn(kind, data);
    if (kind === "end") {
      this.flush();
      this.state("ended");
    }
  }

  state(name) {
    if (name !== "paused") this.connected = name;
    if (this.paused) name = "paused";
    this.view.dataset.state = name;
    const words = this.view.querySelector("[data-log-state]");
    if (words) words.textContent = words.dataset[name] ?? "";
  }

  handOn(name, data) {
    let detail = null;
    try {
      detail = JSON.parse(data);
    } catch {
      detail = data;
    }
    this.view.dispatchEvent(new CustomEvent(`log:${name}`, { bubbles: true, detail }));
  }

  line(each) {
    // A reconnect may replay what is shown already.
    if (Number.isInteger(each.seq)) {
      if (each.seq <= this.lastSeq) return;
      this.lastSeq = each.seq;
    }
    this.waiting.push(each);
    if (this.waiting.length > this.keep) this.waiting.shift();
    // One insertion per frame, however fast the lines come; hidden tabs get no frames, so they get a timer.
    if (this.waiting.length === 1 && !this.paused) {
      if (document.hidden) setTimeout(() => this.flush(), 500);
      else requestAnimationFrame(() => this.flush());
    }
  }

  flush() {
    if (!this.waiting.length || this.paused) return;
    const fresh = document.createDocumentFragment();
    for (const each of this.waiting) {
      const line = document.createElement("div");
      line.className = "log-line";
      if (each.stream && each.stream !== "stdout") line.dataset.stream = each.stream;
      if (each.seq) line.dataset.seq = each.seq;
      line.textContent = each.line;
      const level = "levels" in this.view.dataset && levelOf(each.line);
      if (level) line.dataset.level = level;
      if (this.wanted) this.hide(line);
      fresh.append(line);
    }
    this.waiting = [];
    this.log.append(fresh);
    // Cutting above a reader who scrolled up would move the text under their eyes.
    if (this.following) {
      const lines = this.log.getElementsByClassName("log-line");
      for (let extra = lines.length - this.keep; extra > 0; extra -= 1) lines[0].remove();
      this.pin(2);
    }
  }
}

const known = new WeakSet();
function start(root) {
  const views = [...root.querySelectorAll("[data-log-view]")];
  if (root.matches?.("[data-log-view]")) views.push(root);
  for (const view of views) {
    if (known.has(view)) continue;
    known.add(view);
    new LogView(view);
  }
}

start(document);
document.addEventListener("htmx:load", (event) => start(event.detail.elt));
