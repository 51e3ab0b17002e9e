// Files that are dropped or chosen: read here, as UTF-8, and sent as documents.

import { element, said } from "./show.js";
import { localise, onLanguage, say } from "./texts.js";
import { mostBytes, size } from "./server.js";

export class Files {
  constructor(root) {
    this.documents = [];
    const id = `${root.id}-input`;
    const input = element("input", { type: "file", id, multiple: "", class: "unseen" });
    const label = element("label", { for: id, class: "drop" });
    this.list = element("ul", { "data-label": "files", "aria-live": "polite" });
    const fill = () => {
      const [before, after] = say("drop", { choose: "\0" }).split("\0");
      label.replaceChildren(before, element("u", {}, say("choose")), after);
    };
    fill();
    onLanguage(fill);
    root.append(input, label, this.list);
    input.addEventListener("change", async () => {
      await this.add(input.files);
      input.value = "";
    });
    this.takeDrops(root.closest("section"), label);
  }

  /** Take what is dropped anywhere on the section. */
  takeDrops(section, label) {
    section.addEventListener("dragover", (event) => {
      event.preventDefault();
      label.classList.add("over");
    });
    section.addEventListener("dragleave", () => label.classList.remove("over"));
    section.addEventListener("drop", (event) => {
      event.preventDefault();
      label.classList.remove("over");
      this.add(event.dataTransfer.files);
    });
  }

  async add(files) {
    for (const file of files) await this.read(file);
    localise(this.list);
  }

  async read(file) {
    const most = mostBytes();
    if (file.size > most) return this.refuse("file_large", { name: file.name, size: size(file.size), most: size(most) });
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      return this.refuse("file_no_text", { name: file.name });
    }
    if (text.includes("\0")) return this.refuse("file_no_text", { name: file.name });
    if (!text.trim()) return this.refuse("file_empty", { name: file.name });
    const document = { name: file.name.slice(0, 200), text };
    this.documents.push(document);
    const item = element("li", {}, element("span", {}, file.name), element("span", { class: "quiet" }, size(file.size)));
    return this.show(item, file.name, () => this.documents.splice(this.documents.indexOf(document), 1));
  }

  refuse(name, values) {
    return this.show(element("li", { class: "bad" }, said("span", name, values)), values.name, () => {});
  }

  show(item, name, forget) {
    const button = said("button", "remove", {}, { type: "button", class: "plain" });
    button.addEventListener("click", () => {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      (next?.querySelector("button") ?? this.list.parentElement.querySelector("input")).focus();
      forget();
      item.remove();
    });
    const label = element("span", { class: "unseen" }, ` ${name}`);
    button.after(label);
    item.append(button);
    button.setAttribute("aria-describedby", (item.firstElementChild.id = `file-${(Files.count += 1)}`));
    this.list.append(item);
  }
}
Files.count = 0;
