// Why the model said something: asked of the server, shown as text with its weights.

import { Progress, element, said } from "./show.js";
import { work } from "./server.js";

const LEAST = 0.08;
const TOKENS = 4; // of the answer; each takes as long as some forty readings of all before it

/** Ask for the reasons of an answer, and show them. */
export async function explain(into, asked) {
  const [progress, control] = [new Progress(), new AbortController()];
  const stop = said("button", "stop", {}, { type: "button", class: "plain", onclick: () => control.abort() });
  into.replaceChildren(progress.box, stop);
  const body = { ...asked, max_tokens: TOKENS };
  const found = await work("/v1/explain", body, control.signal, (done, words) => progress.tell(done, words));
  const { explanation } = found;
  into.replaceChildren(
    said("p", "explain_lead", { count: found.explained, of: found.of }),
    tokens(explanation),
    ...(explanation.left_out ? [said("p", `explain_${explanation.left_out.verdict}`)] : []),
    ...origin(explanation.origin),
    said("p", "limits", {}, { class: "quiet" }),
    element("ul", { class: "quiet" }, ...Object.entries(explanation.limits).map(([name, text]) => limit(name, text))),
  );
}

/** What such reasons can't tell, in the page's language where it has the sentence. */
function limit(name, text) {
  return said("li", `limit_${name}`, { message: text });
}

/**
 * The tokens of prompt and answer; those of the prompt each as dark as what the answer loses without it, the darkest in
 * full. A token without text is a part of the character behind it, and what it carried counts there.
 */
function tokens(explanation) {
  const weights = explanation.inputs
    .slice(0, explanation.prompt_tokens)
    .map((_text, at) => explanation.tokens.reduce((sum, each) => sum + Math.max(0, each.left_out[at] ?? 0), 0));
  for (let at = 0; at + 1 < weights.length; at++) if (!explanation.inputs[at]) weights[at + 1] += weights[at];
  const most = Math.max(...weights, 1e-9);
  const shown = explanation.inputs.map((text, at) => {
    const weight = (weights[at] ?? 0) / most;
    if (weight < LEAST || !text) return text;
    const mark = element("mark", {}, text);
    mark.style.setProperty("--weight", String(Math.round(10 + 45 * weight)));
    return mark;
  });
  return element("p", { class: "tokens" }, ...shown);
}

function origin(found) {
  if (!found) return [];
  const spans = found.spans.slice(0, 3).map((span) => quoted(span.text, span.places[0]));
  const near = found.near.slice(0, 2).map((each) => quoted(each.text, each.place));
  return [
    ...(spans.length ? [said("p", "explain_origin"), element("ul", {}, ...spans)] : [said("p", "explain_no_origin")]),
    ...(near.length ? [said("p", "explain_near"), element("ul", {}, ...near)] : []),
  ];
}

/** What stands in the training text, and whose it is. */
function quoted(text, place) {
  const whose = [place.source, place.licence].filter(Boolean).join(", ");
  return element("li", {}, text, element("span", { class: "quiet" }, ` (${whose})`));
}
