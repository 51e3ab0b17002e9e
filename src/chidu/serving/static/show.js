// Elements, made of text alone, and what stands beside every answer: what the guard did, why, copying.

import { category, onLanguage, say, sayError, sayProgress, show } from "./texts.js";

/** An element with attributes and children; strings become text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((each) => each !== null));
  return made;
}

/** An element that shows a sentence. */
export function said(tag, name, values = {}, attributes = {}) {
  return show(element(tag, attributes), name, values);
}

/** A text as paragraphs, and the headings of Markdown as such. */
export function prose(text) {
  const blocks = text.split(/\n{2,}/).map((block) => {
    const heading = /^#{1,6}\s+([^\n]*)$/.exec(block);
    return heading ? element("p", { class: "head" }, heading[1]) : element("p", { class: "said" }, block);
  });
  return element("div", { class: "prose" }, ...blocks);
}

/** A line for each thing that the guard did; `isEnded`: it ended the answer. */
export function guardNotes(guard, isEnded = false) {
  const box = element("div", { class: "quiet" });
  const fill = () => {
    if (!guard) return box.replaceChildren(said("p", "guard_off", {}, { class: "guard off" }));
    const acted = guard.filter((each, at) => guard.findIndex((other) => same(each, other)) === at);
    if (!acted.length) return box.replaceChildren(said("p", "guard_clean", {}, { class: "guard" }));
    return box.replaceChildren(...acted.map((each) => note(each, isEnded)));
  };
  fill();
  onLanguage(fill);
  return box;
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function note(each, isEnded) {
  const ends = each.side === "answer" && each.action === "refuse" && isEnded;
  const values = {
    side: `@side_${each.side}`,
    action: ends ? "@action_end" : `@action_${each.action}`,
    categories: each.categories.map(category).join(say("and")) || "@something",
    document: each.document ?? "",
  };
  const name = each.document ? "guard_acted_in" : "guard_acted";
  return element("p", { class: each.action === "flag" ? "guard" : "guard acted" }, say(name, values));
}

/** A failure, told where the answer would stand. */
export function failure(error) {
  const box = element("p", { class: "failed", role: "alert" }, sayError(error));
  onLanguage(() => (box.textContent = sayError(error)));
  return box;
}

/** What stands below an answer: what the guard did, and what can be done with it. */
export function foot(notes, ...buttons) {
  return element("div", { class: "foot" }, notes, element("div", { class: "acts" }, ...buttons));
}

/** A button that copies a text. */
export function copyButton(text) {
  const button = said("button", "copy", {}, { type: "button", class: "plain" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    show(button, "copied");
    setTimeout(() => show(button, "copy"), 1500);
  });
  return button;
}

let reasons = 0;

/** A button that opens the reasons below an answer; `find(box)` fills them in when they are first asked for. */
export function whyButton(find) {
  const box = element("div", { class: "why", id: `why-${(reasons += 1)}`, role: "status" });
  box.hidden = true;
  const button = said("button", "why", {}, {
    type: "button", class: "plain", "aria-expanded": "false", "aria-controls": box.id,
  });
  let isFilled = false;
  button.addEventListener("click", async () => {
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
    if (isFilled || box.hidden) return;
    isFilled = true;
    try {
      await find(box);
    } catch (error) {
      isFilled = false;
      box.replaceChildren(error.name === "AbortError" ? said("p", "stopped") : failure(error));
    }
  });
  return [button, box];
}

/** Something under way: how far it is. */
export class Progress {
  constructor() {
    this.words = said("p", "waiting", {}, { class: "quiet" });
    this.bar = element("progress", { max: 1, "data-label": "working", "aria-label": say("working") });
    this.box = element("div", { role: "status" }, this.words, this.bar);
  }

  tell(done, what) {
    const told = sayProgress(what);
    if (done === null) return show(this.words, told ? "failed" : "working", { message: told });
    this.bar.value = done;
    return show(this.words, told ? "progress_said" : "progress", { percent: Math.round(done * 100), said: told });
  }
}

/** Let a form work: its button becomes a stop button until `run(signal)` has ended. */
export function working(form, run) {
  const [go, stop] = [form.querySelector(".go"), form.querySelector(".stop")];
  let control = null;
  stop.addEventListener("click", () => control?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (control) return;
    control = new AbortController();
    const hadFocus = document.activeElement === go;
    go.hidden = true;
    stop.hidden = false;
    if (hadFocus) stop.focus();
    try {
      await run(control.signal);
    } finally {
      const stopHadFocus = document.activeElement === stop;
      control = null;
      stop.hidden = true;
      go.hidden = false;
      if (stopHadFocus) go.focus();
    }
  });
}
