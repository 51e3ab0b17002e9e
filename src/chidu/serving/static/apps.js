// The four applications: what is asked, what comes back, and why.

import { Files } from "./files.js";
import { Progress, copyButton, element, failure, foot, guardNotes, prose, said, whyButton, working } from "./show.js";
import { ServerError, work } from "./server.js";
import { language, localise, onLanguage } from "./texts.js";

const LANGUAGES = [
  "ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nl", "no", "pl", "pt",
  "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh",
];

const by = (id) => document.getElementById(id);

function missing(name) {
  return new ServerError("", { name_of: name });
}

/** Let a section's form do work that leaves articles below it. */
function application(name, run) {
  const section = by(name);
  const results = section.querySelector(".results");
  working(section.querySelector("form"), async (signal) => {
    const progress = new Progress();
    results.replaceChildren(progress.box);
    results.setAttribute("aria-busy", "true");
    const ask = (path, body) => work(path, body, signal, (done, words) => progress.tell(done, words));
    try {
      for await (const article of run(ask)) results.insertBefore(article, progress.box);
    } catch (error) {
      results.append(error.name === "AbortError" ? said("p", "stopped", {}, { class: "quiet" }) : failure(error));
    } finally {
      progress.box.remove();
      results.removeAttribute("aria-busy");
    }
  });
}

/** The texts of a section: what was written, and the files. */
function texts(field, files) {
  const written = field.value.trim() ? [{ name: "", text: field.value }] : [];
  const found = [...written, ...files.documents];
  if (!found.length) throw missing("no_text");
  return found;
}

/** What stands below an answer, and its reasons, made when they are asked for. */
function below(found, text, reasons) {
  const [why, box] = whyButton((into) => into.replaceChildren(...reasons()));
  return [foot(guardNotes(found.guard), why, copyButton(() => text)), box];
}

function summarizing() {
  const files = new Files(by("summarize-files"));
  application("summarize", async function* (ask) {
    const wanted = by("summarize-sentences").value;
    const headline = wanted === "headline";
    const how = headline ? { headline } : { sentences: Number(wanted) };
    const heads = headline ? ["headline_of", "headline_of_file"] : ["summary_of", "summary_of_file"];
    for (const { name, text } of texts(by("summarize-text"), files)) {
      const found = await ask("/v1/summarize", { text, ...how });
      const values = { name, kept: found.sentences.length, of: found.of };
      const why = () => headline ? [said("p", "headline_why", { line: found.sentences[0].first_line })] : [
        said("p", "summary_why"),
        element("ul", {}, ...found.sentences.map((each) => said("li", "line_score", { line: each.first_line, score: each.score.toFixed(2) }))),
      ];
      yield element(
        "article", {}, said("h2", heads[name ? 1 : 0], values), prose(found.summary),
        ...below(found, found.summary, why),
      );
    }
  });
}

function translating() {
  const files = new Files(by("translate-files"));
  const fill = () => {
    const options = () => LANGUAGES.map((code) => element("option", { value: code }, languageName(code)));
    const [source, target] = [by("translate-source"), by("translate-target")];
    const [from, into] = [source.value, target.value || (language() === "zh" ? "zh" : "en")];
    source.replaceChildren(said("option", "detect", {}, { value: "" }), ...options());
    target.replaceChildren(...options());
    source.value = from;
    target.value = into;
  };
  fill();
  onLanguage(fill);
  application("translate", async function* (ask) {
    const asked = { target: by("translate-target").value };
    if (by("translate-source").value) asked.source = by("translate-source").value;
    for (const { name, text } of texts(by("translate-text"), files)) {
      const found = await ask("/v1/translate", { text, ...asked });
      const values = { name, source: languageName(found.source), target: languageName(found.target) };
      const why = () => [
        said("p", found.detected ? "translate_why_detected" : "translate_why", { source: languageName(found.source), count: found.sentences }),
        ...(found.left.length ? [said("p", "left_alone", { count: found.left.length }), leftAlone(found.left)] : []),
      ];
      const shown = prose(found.translation);
      shown.lang = found.target;
      yield element(
        "article", {}, said("h2", name ? "translation_file" : "translation", values), shown,
        ...below(found, found.translation, why),
      );
    }
  });
}

/** A language's name in the page's. */
function languageName(code) {
  return new Intl.DisplayNames([language()], { type: "language" }).of(code);
}

function leftAlone(left) {
  const items = left.slice(0, 30).map((each) => said("li", "left_line", { line: each.line, why: each.why }));
  return element("ul", {}, ...items);
}

/** Where to look: the index that is chosen, else the documents. */
function place(name, files) {
  const index = by(`${name}-index`).value;
  if (index) return { index };
  if (!files.documents.length) throw missing("no_documents");
  return { documents: files.documents };
}

function where(each) {
  const one = each.first_line === each.last_line;
  const lines = said("span", one ? "place_one" : "place", { first: each.first_line, last: each.last_line });
  const heading = each.heading ? ` · ${each.heading}` : "";
  return element("p", { class: "place" }, element("b", {}, each.file), " · ", lines, heading);
}

function answering() {
  const files = new Files(by("answer-files"));
  application("answer", async function* (ask) {
    const question = by("answer-question").value;
    if (!question.trim()) throw missing("no_question");
    const found = await ask("/v1/answer", { question, ...place("answer", files) });
    const cited = found.citations.map((each) =>
      element("div", { class: "passage" }, where(each), element("blockquote", {}, each.quoted || each.text)),
    );
    const why = () => [
      found.confidence === null
        ? said("p", "no_confidence")
        : said("p", "confidence", { percent: Math.round(found.confidence * 100) }),
      ...found.set_aside.map((each) => said("p", "set_aside", { name: each.file })),
      said("p", "found", { count: found.passages, by: found.by === "words" ? "@by_words" : "@by_both" }),
    ];
    yield element(
      "article", {}, said("h2", "answer_title"),
      found.answered ? prose(found.answer) : said("p", "no_answer", {}, { class: "notice" }),
      ...(cited.length ? [said("h2", "cited"), ...cited] : []),
      ...below(found, found.answer, why),
    );
  });
}

function searching() {
  const files = new Files(by("search-files"));
  application("search", async function* (ask) {
    const query = by("search-query").value;
    if (!query.trim()) throw missing("no_question");
    const found = await ask("/v1/search", { query, top: Number(by("search-top").value), ...place("search", files) });
    const passages = found.results.map((each) =>
      element("div", { class: "passage" }, where(each), element("blockquote", {}, each.text)),
    );
    const why = () => [
      said("p", "search_why"),
      element("ul", {}, ...found.results.map(reason)),
      said("p", "of_passages", { passages: found.passages }),
    ];
    const values = { count: passages.length, by: found.by === "words" ? "@by_words" : "@by_both" };
    yield element(
      "article", {}, said("h2", passages.length ? "found" : "no_results", values), ...passages,
      ...below(found, found.results.map((each) => each.text).join("\n\n"), why),
    );
  });
}

function reason(each) {
  const parts = [element("b", {}, `${each.file}:${each.first_line}`)];
  if (each.words_rank) parts.push(" · ", said("span", "why_words", { rank: each.words_rank }));
  if (each.vector_rank) {
    parts.push(" · ", said("span", "why_vector", { rank: each.vector_rank, cosine: each.cosine.toFixed(2) }));
  }
  return element("li", {}, ...parts);
}

/** Let the indexes that the server has be chosen. */
export function offerIndexes(names) {
  for (const name of ["answer", "search"]) {
    const [select, label] = [by(`${name}-index`), by(`${name}-where`)];
    select.replaceChildren(said("option", "documents", {}, { value: "" }), ...names.map((each) => element("option", { value: each }, each)));
    label.hidden = !names.length;
    const choose = () => (by(`${name}-files`).hidden = Boolean(select.value));
    select.addEventListener("change", choose);
    select.value = names[0] ?? "";
    choose();
  }
  localise(document.body);
}

export function startApplications() {
  summarizing();
  translating();
  answering();
  searching();
}
