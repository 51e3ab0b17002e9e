// The conversation: kept in this page alone, sent whole each time, its answer shown as it is written.

import { copyButton, element, failure, foot, guardNotes, said, whyButton, working } from "./show.js";
import { events } from "./server.js";
import { explain } from "./reasons.js";
import { localise } from "./texts.js";

const NO_CHAT = "no_chat";
const TOKENS = 200;
const DRAWN = { temperature: 0.7, top_p: 0.95 };

export class Chat {
  constructor(model) {
    this.model = model;
    this.turns = [];
    this.log = document.getElementById("log");
    this.message = document.getElementById("message");
    this.mode = document.getElementById("mode");
    const form = document.getElementById("chat-form");
    working(form, (signal) => this.send(signal));
    this.message.addEventListener("keydown", (event) => {
      // Enter that ends a word of an input method is none of ours.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.mode.addEventListener("change", () => this.hint());
    document.getElementById("anew").addEventListener("click", () => this.anew());
  }

  /** The model was taught no chat: say so before anything is written, and go on from texts. */
  taughtNone() {
    this.mode.value = "text";
    this.hint();
    this.log.append(said("p", "taught_no_chat", {}, { class: "notice" }));
  }

  hint() {
    this.message.dataset.hint = this.mode.value === "chat" ? "message_hint" : "text_hint";
    localise(this.message.parentElement);
  }

  anew() {
    this.turns = [];
    this.log.replaceChildren();
    document.getElementById("chat-lead").hidden = false;
    this.message.focus();
  }

  async send(signal) {
    const text = this.message.value;
    if (!text.trim()) return;
    this.message.value = "";
    document.getElementById("chat-lead").hidden = true;
    this.log.append(turn("you", text, "mine"));
    await this.answer(text, signal);
  }

  async answer(text, signal) {
    const box = turn("model", "", "working");
    const words = box.querySelector(".said");
    this.log.append(box);
    this.log.setAttribute("aria-busy", "true");
    follow(box);
    const asked = this.asked(text);
    const found = { text: "", finish: null, guard: null };
    try {
      for await (const each of events(asked.path, { model: await this.model(), ...asked.body }, signal)) {
        const [choice] = each.choices ?? [];
        const piece = choice?.delta?.content ?? choice?.text ?? "";
        found.text += piece;
        words.append(piece);
        found.finish = choice?.finish_reason ?? found.finish;
        found.guard = each.guard ?? found.guard;
        follow(box);
      }
      this.end(box, asked, found);
    } catch (error) {
      if (error.code === NO_CHAT) {
        box.remove();
        this.taughtNone();
        await this.answer(text, signal);
        return;
      }
      this.fail(box, asked, found, error, text);
    } finally {
      box.classList.remove("working");
      this.log.removeAttribute("aria-busy");
      follow(box);
    }
  }

  /** What is sent: all turns, or one text to go on from. */
  asked(text) {
    if (this.mode.value !== "chat") {
      return { path: "/v1/completions", body: { prompt: text, max_tokens: TOKENS, ...DRAWN }, prompt: { prompt: text } };
    }
    const messages = [...this.turns, { role: "user", content: text }];
    return { path: "/v1/chat/completions", body: { messages, ...DRAWN }, prompt: { messages } };
  }

  end(box, asked, found) {
    if (asked.body.messages) this.turns = [...asked.body.messages, { role: "assistant", content: found.text }];
    if (found.finish === "length") box.append(said("p", "ended_long", {}, { class: "quiet" }));
    if (found.finish === "content_filter") box.append(said("p", "ended_guard", {}, { class: "notice" }));
    const [why, reasons] = whyButton((into) => explain(into, { ...asked.prompt, answer: found.text }));
    box.append(foot(guardNotes(found.guard, true), why, copyButton(() => found.text)), reasons);
  }

  fail(box, asked, found, error, text) {
    if (error.name === "AbortError") {
      // What was said until then counts, as it does for whoever reads it.
      if (asked.body.messages && found.text) {
        this.turns = [...asked.body.messages, { role: "assistant", content: found.text }];
      }
      box.append(said("p", "stopped", {}, { class: "quiet" }));
      return;
    }
    box.append(failure(error));
    this.message.value ||= text;
  }
}

function turn(who, text, kind) {
  const box = element("article", { class: kind }, said("p", who, {}, { class: "who" }), element("div", { class: "said" }));
  box.querySelector(".said").textContent = text;
  return box;
}

/** Keep the end in sight, unless the reader has gone up. */
function follow(box) {
  const below = document.documentElement.scrollHeight - window.innerHeight - window.scrollY;
  if (below < 240) box.scrollIntoView({ block: "end" });
}
