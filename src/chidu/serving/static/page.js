// The page: tabs, language, key, and the parts that do the work.

import { Chat } from "./chat.js";
import { offerIndexes, startApplications } from "./apps.js";
import { askKeyWith, get } from "./server.js";
import { localise, onLanguage, say, switchLanguage } from "./texts.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];

/** Show a section; `isAsked`: somebody chose its tab, so the address names it. */
function select(tab, isAsked = true) {
  for (const each of tabs) {
    const isChosen = each === tab;
    each.setAttribute("aria-selected", String(isChosen));
    each.tabIndex = isChosen ? 0 : -1;
    document.getElementById(each.getAttribute("aria-controls")).hidden = !isChosen;
  }
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (isAsked) history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
}

function startTabs() {
  for (const [at, tab] of tabs.entries()) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  }
  const named = () => tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash);
  addEventListener("hashchange", () => named() && select(named()));
  select(named() ?? tabs[0], false);
}

function startLanguage() {
  const button = document.getElementById("language");
  const fill = () => {
    button.textContent = say("other_language");
    button.lang = document.documentElement.lang === "zh" ? "en" : "zh";
  };
  button.addEventListener("click", switchLanguage);
  localise(document.documentElement);
  fill();
  onLanguage(fill);
}

/** Ask for a key by a dialog; give it, or null. One dialog serves all who wait. */
function startKey() {
  const [dialog, field] = [document.getElementById("key-dialog"), document.getElementById("key")];
  let waiting = null;
  askKeyWith(() => {
    waiting ??= new Promise((resolve) => {
      field.value = "";
      dialog.returnValue = "";
      dialog.showModal();
      dialog.addEventListener("close", () => {
        waiting = null;
        resolve(dialog.returnValue || null);
      }, { once: true });
    });
    return waiting;
  });
  document.getElementById("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close(field.value.trim());
    field.value = "";
  });
  document.getElementById("key-cancel").addEventListener("click", () => dialog.close(""));
}

let known = null;

/** The model that is served; asked for once. */
async function served() {
  known ??= (await get("/v1/models")).data[0];
  return known;
}

async function model() {
  return (await served()).id;
}

async function start() {
  startLanguage();
  startTabs();
  startKey();
  startApplications();
  const chat = new Chat(model);
  localise(document.documentElement);
  document.getElementById("model").textContent = await model();
  if ((await served()).chat === false) chat.taughtNone();
  offerIndexes((await get("/v1/indexes")).data.map((each) => each.id));
}

// Who shows no key now is asked again with the first message.
start().catch(() => {});
