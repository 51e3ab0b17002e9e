// What the page asks of the server: with the key, where one is needed, and streams read event by event.

const MOST = Number(document.documentElement.dataset.bodyBytes);
const STORED = "chidu-key";
let askForKey = async () => null;

/** Something that went wrong: `code` is the server's, `name_of` the page's own sentence. */
export class ServerError extends Error {
  constructor(message, { code = "", name_of = null, values = {} } = {}) {
    super(message);
    Object.assign(this, { code, name_of, values });
  }
}

/** Name who asks for a key; it gives one, or null. */
export function askKeyWith(ask) {
  askForKey = ask;
}

export function size(bytes) {
  return bytes < 1024 ? `${bytes} B` : bytes < 1024 ** 2 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

export function mostBytes() {
  return MOST;
}

async function ask(path, how) {
  for (;;) {
    const key = sessionStorage.getItem(STORED);
    const headers = { ...how.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...how, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError("", { name_of: "unreached" });
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      sessionStorage.removeItem(STORED);
      const given = await askForKey();
      if (!given) throw new ServerError("", { name_of: "without_key" });
      sessionStorage.setItem(STORED, given);
      continue;
    }
    throw told(await answer.json().catch(() => ({})), `${answer.status}`);
  }
}

function told(body, fallback) {
  return new ServerError(body.error?.message ?? fallback, { code: body.error?.code ?? "" });
}

export async function get(path) {
  return (await ask(path, {})).json();
}

/** Send a body; yield the documents of the stream that answers it. */
export async function* events(path, body, signal) {
  const content = new Blob([JSON.stringify({ ...body, stream: true })]);
  if (content.size > MOST) {
    throw new ServerError("", { name_of: "too_large", values: { size: size(content.size), most: size(MOST) } });
  }
  const headers = { "Content-Type": "application/json" };
  const answer = await ask(path, { method: "POST", headers, body: content, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new ServerError("", { name_of: "broke_off" });
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.replace(/^data: /, "");
        if (data === "[DONE]") return;
        const found = JSON.parse(data);
        if (found.error) throw told(found, "");
        yield found;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Have long work done: `onProgress(done, said)` hears how far it is; return its document. */
export async function work(path, body, signal, onProgress) {
  let found = null;
  for await (const each of events(path, body, signal)) {
    if (each.object === "progress") onProgress(each.done, each.said);
    else found = each;
  }
  return found;
}
