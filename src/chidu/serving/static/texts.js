// The page's sentences in both languages, and the elements that show them. Text only: nothing here becomes markup.

const TEXTS = {
  en: {
    title: "Chidu",
    other_language: "中文",
    skip: "Skip to the page's content",
    tabs: "What the page does",
    chat: "Chat",
    summarize: "Summarize",
    translate: "Translate",
    answer: "Ask documents",
    search: "Search",
    conversation: "Conversation",
    results: "Results",
    chat_lead: "Write to the model of this server. What it says may be wrong.",
    summarize_lead: "The sentences of a text that say most of it, as they stand. Nothing is written anew.",
    translate_lead: "A text in another language; Markdown keeps its form.",
    answer_lead: "An answer from your documents, with the passages it rests on. Where they hold none, that is said.",
    search_lead: "Passages of your documents, by their words, and by their meaning where the server makes vectors.",
    message: "Message",
    message_hint: "Write a message…",
    text_hint: "Begin a text…",
    message_keys: "Enter sends, Shift+Enter begins a line",
    mode: "Mode",
    mode_chat: "conversation",
    mode_text: "go on from a text",
    anew: "Begin anew",
    send: "Send",
    stop: "Stop",
    text: "Text",
    question: "Question",
    query: "Search for",
    sentences: "Sentences",
    source: "From",
    target: "Into",
    detect: "detect",
    where: "In",
    documents: "documents from here",
    top: "Passages",
    drop: "Drop text files here, or {choose}",
    choose: "choose some",
    files: "Files",
    remove: "Remove",
    remove_file: "Remove {name}",
    file_large: "{name}: {size}, more than this server takes ({most})",
    file_no_text: "{name}: no text in UTF-8",
    file_empty: "{name}: empty",
    you: "You",
    model: "Model",
    working: "Working…",
    waiting: "Waiting for a turn…",
    stopped: "Stopped.",
    ended_long: "Ended at the limit of length.",
    ended_guard: "The guard ended the answer here.",
    taught_no_chat: "This model was taught no conversation; it goes on from your text instead.",
    progress: "{percent} % done",
    progress_said: "{percent} % done: {said}",
    copy: "Copy",
    copied: "Copied",
    why: "Why?",
    why_working: "Looking for reasons…",
    guard_off: "No guard here: nothing was filtered",
    guard_clean: "Nothing was filtered",
    guard_acted: "{side}: {categories} {action}",
    guard_acted_in: "{side} ({document}): {categories} {action}",
    side_prompt: "Your text",
    side_passage: "Document",
    side_answer: "Answer",
    action_flag: "noticed, let pass",
    action_redact: "taken out",
    action_refuse: "left out",
    action_end: "ended it",
    and: ", ",
    something: "something",
    no_text: "Write a text, or add a file.",
    no_question: "Write what to look for.",
    no_documents: "Add a document, or choose an index.",
    no_answer: "The documents hold no answer.",
    no_results: "Nothing found.",
    summary_of: "Summary: {kept} of {of} sentences",
    summary_of_file: "{name}: {kept} of {of} sentences",
    summary_why: "Sentences are ranked by how much of the others they are like (LexRank); the mean is 1.",
    headline: "A headline",
    headline_of: "Headline, cut from the first of {of} sentences",
    headline_of_file: "{name}: headline, cut from the first of {of} sentences",
    headline_why: "The first sentence, line {line}, cut by rules; what limits what it says is never cut. Most texts say in it what they are about, and some do not.",
    line_score: "Line {line}: {score}",
    translation: "Translation, {source} to {target}",
    translation_file: "{name}, {source} to {target}",
    translate_why: "The model translated {count} sentences one by one.",
    translate_why_detected: "The text was taken for {source}; the model translated {count} sentences one by one.",
    left_alone: "Left as it was: {count} parts",
    left_line: "Line {line}: {why}",
    found: "{count} passages, by {by}",
    by_words: "words",
    by_both: "words and meaning",
    of_passages: "of {passages} searched",
    place: "lines {first}–{last}",
    place_one: "line {first}",
    search_why: "Passages are ordered by how rare the words are that they share with the query, and by how near they lie in meaning.",
    why_words: "place {rank} by words",
    why_vector: "place {rank} by meaning (cosine {cosine})",
    answer_title: "Answer",
    confidence: "How sure that the documents answer: {percent} %",
    no_confidence: "By words alone, in passages without headings: how sure this is can't be told.",
    cited: "It rests on",
    set_aside: "Left aside, since it gives orders to a model or is refused: {name}",
    explain_lead: "Which words carried the answer's first {count} of {of} tokens: the darker, the less likely they would be without it.",
    explain_better: "Deletion test: the dark words matter more than random ones.",
    explain_undecided: "Deletion test: whether the dark words matter more than random ones is undecided.",
    explain_worse: "Deletion test: the dark words matter less than random ones. Do not trust these shades.",
    explain_origin: "The same words stand in the training text:",
    explain_no_origin: "These words do not stand in the training text.",
    explain_near: "Passages of it that share the rarest words:",
    limits: "What such reasons can't tell",
    limit_meaning: "{message}",
    limit_together: "{message}",
    limit_others: "{message}",
    limit_layers: "{message}",
    limit_origin: "{message}",
    key_title: "A key is needed",
    key_lead: "This server answers only who shows a key. It stays in this tab.",
    key: "Key",
    cancel: "Cancel",
    use_key: "Use this key",
    failed: "{message}",
    unreached: "The server does not answer.",
    broke_off: "The answer broke off.",
    too_large: "{size} is more than this server takes ({most}).",
    without_key: "Without a key nothing is answered.",
  },
  zh: {
    title: "尺度",
    other_language: "English",
    skip: "跳到正文",
    tabs: "功能",
    chat: "对话",
    summarize: "摘要",
    translate: "翻译",
    answer: "问文档",
    search: "搜索",
    conversation: "对话",
    results: "结果",
    chat_lead: "与这台服务器上的模型对话。它说的可能有误。",
    summarize_lead: "选出最能代表原文的句子，原样照录，不另写一字。",
    translate_lead: "把一篇文字译成另一种语言；Markdown 的格式保持不变。",
    answer_lead: "根据您的文档回答，并给出所依据的段落。文档里没有答案时，会直说。",
    search_lead: "在您的文档里找段落：按词，服务器能算向量时也按意思。",
    message: "消息",
    message_hint: "写一条消息……",
    text_hint: "写一个开头……",
    message_keys: "回车发送，Shift+回车换行",
    mode: "方式",
    mode_chat: "对话",
    mode_text: "续写文字",
    anew: "重新开始",
    send: "发送",
    stop: "停止",
    text: "文字",
    question: "问题",
    query: "要找什么",
    sentences: "句数",
    source: "从",
    target: "译成",
    detect: "自动判断",
    where: "在",
    documents: "这里的文档",
    top: "段落数",
    drop: "把文本文件拖到这里，或{choose}",
    choose: "选择文件",
    files: "文件",
    remove: "移除",
    remove_file: "移除 {name}",
    file_large: "{name}：{size}，超过服务器的上限（{most}）",
    file_no_text: "{name}：不是 UTF-8 文本",
    file_empty: "{name}：空文件",
    you: "您",
    model: "模型",
    working: "正在处理……",
    waiting: "正在排队……",
    stopped: "已停止。",
    ended_long: "到了长度上限，停在这里。",
    ended_guard: "守卫在此处截断了回答。",
    taught_no_chat: "这个模型没有学过对话；改为接着您的文字续写。",
    progress: "已完成 {percent}%",
    progress_said: "已完成 {percent}%：{said}",
    copy: "复制",
    copied: "已复制",
    why: "为什么？",
    why_working: "正在找原因……",
    guard_off: "没有守卫：什么都没有过滤",
    guard_clean: "没有过滤任何内容",
    guard_acted: "{side}：{categories}，{action}",
    guard_acted_in: "{side}（{document}）：{categories}，{action}",
    side_prompt: "您的文字",
    side_passage: "文档",
    side_answer: "回答",
    action_flag: "已注意到，放行",
    action_redact: "已隐去",
    action_refuse: "未采用",
    action_end: "回答到此为止",
    and: "、",
    something: "某些内容",
    no_text: "请写一段文字，或添加一个文件。",
    no_question: "请写要找的内容。",
    no_documents: "请添加一个文档，或选择一个索引。",
    no_answer: "文档里没有答案。",
    no_results: "没有找到。",
    summary_of: "摘要：{of} 句中的 {kept} 句",
    summary_of_file: "{name}：{of} 句中的 {kept} 句",
    summary_why: "一个句子与其余句子越相似，排得越前（LexRank）；平均为 1。",
    headline: "标题短语",
    headline_of: "标题短语，由 {of} 句中的第一句裁成",
    headline_of_file: "{name}：标题短语，由 {of} 句中的第一句裁成",
    headline_why: "第 {line} 行的第一句，按规则裁短；限定其意思的部分从不裁去。多数文章在第一句说明主题，也有的不是。",
    line_score: "第 {line} 行：{score}",
    translation: "译文，{source} → {target}",
    translation_file: "{name}，{source} → {target}",
    translate_why: "模型逐句翻译了 {count} 句。",
    translate_why_detected: "原文判断为{source}；模型逐句翻译了 {count} 句。",
    left_alone: "保持原样的部分：{count} 处",
    left_line: "第 {line} 行：{why}",
    found: "{count} 个段落，按{by}",
    by_words: "词",
    by_both: "词和意思",
    of_passages: "共搜索 {passages} 个段落",
    place: "第 {first}–{last} 行",
    place_one: "第 {first} 行",
    search_why: "段落的次序取决于它与问题共有的词有多罕见，以及意思有多接近。",
    why_words: "按词第 {rank} 位",
    why_vector: "按意思第 {rank} 位（余弦 {cosine}）",
    answer_title: "回答",
    confidence: "文档能回答的把握：{percent}%",
    no_confidence: "只按词，段落又没有标题：有多大把握，无法判断。",
    cited: "依据",
    set_aside: "未采用（含有给模型的指令，或被拒绝）：{name}",
    explain_lead: "哪些词促成了回答（前 {count} 个词元，共 {of} 个）：颜色越深，去掉它之后回答就越不可能。",
    explain_better: "删除检验：深色的词比随机的词更重要。",
    explain_undecided: "删除检验：深色的词是否比随机的词更重要，尚不能断定。",
    explain_worse: "删除检验：深色的词还不如随机的词重要。请勿相信这些颜色。",
    explain_origin: "训练文本里有同样的词句：",
    explain_no_origin: "训练文本里没有这些词句。",
    explain_near: "训练文本里含有其中最少见的词的段落：",
    limits: "这样的原因不能说明什么",
    limit_meaning: "份额说的是模型的计算怎样变动，而不是它想的是什么：这些不是它的理由。",
    limit_together: "两种方法可能指出不同的词元；只有合在一起才起作用的词元，两种方法都可能看不出来。",
    limit_others: "删除检验问的是：指出的词元是否比别的更重要；它不能证明别的都不重要。",
    limit_layers: "各层是用最后一层的词来读的，而前面的层还不说这种语言。",
    limit_origin: "训练文本里有同样的词句，不能证明就是从那里学来的；从许多文本里学来的东西，哪一篇里也没有；而且没有哪种原因能说明回答是否属实。",
    key_title: "需要密钥",
    key_lead: "这台服务器只回答出示密钥的人。密钥只留在这个标签页里。",
    key: "密钥",
    cancel: "取消",
    use_key: "使用这个密钥",
    failed: "{message}",
    unreached: "服务器没有应答。",
    broke_off: "回答中断了。",
    too_large: "{size}，超过服务器的上限（{most}）。",
    without_key: "没有密钥，得不到回答。",
    // What the server says, by its codes and by its sentences.
    code_invalid_api_key: "密钥无效。",
    code_server_busy: "排队的请求太多，请稍后再试。",
    code_rate_limit_exceeded: "这一分钟的额度已用完，请稍后再试。",
    code_request_too_large: "请求太大。",
    code_context_length_exceeded: "文字太长，模型的上下文容不下。请缩短，或重新开始。",
    code_content_policy_violation: "守卫拒绝了这段文字（{message}）。",
    code_took_too_long: "用时太久，已停止。请缩短文字。",
    code_index_not_found: "没有这个索引。",
    code_not_installed: "服务器缺少一个软件包：{message}",
    code_upstream_failed: "模型所在的服务器没有正常应答。",
    code_record_failed: "判定记录无法写入，因此不提供服务。",
    code_server_failed: "服务器出错了。",
    code_no_reasons: "无法查看这个模型的内部（{message}）。",
    code_unknown_language: "不认识这种语言。",
    code_same_language: "原文已经是要译成的语言：请另选一种。",
    code_model_not_able: "服务器上的模型做不了这件事：{message}",
    category_email: "电子邮箱", category_phone: "电话号码", category_card: "银行卡号", category_iban: "银行账号",
    category_id: "证件号码", category_passport: "护照号码", category_ip: "IP 地址", category_private_key: "私钥",
    category_token: "访问令牌", category_password: "密码", category_prompt_injection: "给模型的指令",
    category_violent_crimes: "暴力犯罪", category_non_violent_crimes: "非暴力犯罪",
    category_child_sexual_exploitation: "儿童性剥削", category_indiscriminate_weapons: "大规模杀伤性武器",
    category_hate: "仇恨", category_suicide_self_harm: "自杀与自伤", category_sexual_content: "色情内容",
    category_privacy: "个人信息", category_secrets: "秘密", category_defamation: "诽谤",
    category_specialized_advice: "专业建议", category_intellectual_property: "知识产权",
    category_elections: "选举", category_sex_related_crimes: "性犯罪", category_code_interpreter_abuse: "滥用代码",
  },
};

const SAID = [
  [/^([\d,]+) of ([\d,]+) sentences$/, "第 $1 句，共 $2 句"],
  [/^([\d,]+) of ([\d,]+) passages$/, "第 $1 段，共 $2 段"],
  [/^([\d,]+) tokens written$/, "已写 $1 个词元"],
  [/^([\d,]+) sentences?$/, "$1 句"],
  [/^token (\d+) of (\d+)$/, "第 $1 个词元，共 $2 个"],
];
const STORED = "chidu-language";
const heard = [];
let current = first();

function first() {
  const stored = localStorage.getItem(STORED);
  if (stored in TEXTS) return stored;
  return (navigator.languages ?? [navigator.language]).find((each) => /^(zh|en)\b/.test(each))?.slice(0, 2) ?? "en";
}

export function language() {
  return current;
}

/** Take the other language, and show all that is there in it. */
export function switchLanguage() {
  current = current === "zh" ? "en" : "zh";
  localStorage.setItem(STORED, current);
  localise(document.documentElement);
  heard.forEach((each) => each());
}

export function onLanguage(callback) {
  heard.push(callback);
}

/** A sentence by its name; a value `@name` is a sentence itself. */
export function say(name, values = {}) {
  const sentence = TEXTS[current][name] ?? TEXTS.en[name] ?? name;
  return sentence.replace(/\{(\w+)\}/g, (_whole, key) => {
    const value = String(values[key] ?? "");
    return value.startsWith("@") ? say(value.slice(1)) : value;
  });
}

/** What the server told while it worked, in the page's language. */
export function sayProgress(said) {
  if (current !== "zh") return said;
  const [pattern, sentence] = SAID.find(([each]) => each.test(said)) ?? [];
  return pattern ? said.replace(pattern, sentence) : "";
}

/** What a category of the guard is called. */
export function category(name) {
  return TEXTS[current][`category_${name}`] ?? name.replaceAll("_", " ");
}

/** A refusal in the page's language: by its code where there is a sentence for it. */
export function sayError(error) {
  const name = `code_${error.code}`;
  return name in TEXTS[current] ? say(name, { message: error.message }) : say(error.name_of ?? "failed", { ...error.values, message: error.message });
}

/** Let an element show a sentence, in whichever language. */
export function show(element, name, values = {}) {
  element.dataset.text = name;
  element.dataset.values = JSON.stringify(values);
  element.textContent = say(name, values);
  return element;
}

/** Fill in every sentence below an element. */
export function localise(root) {
  document.documentElement.lang = current;
  document.title = say("title");
  for (const each of root.querySelectorAll("[data-text]")) {
    each.textContent = say(each.dataset.text, JSON.parse(each.dataset.values ?? "{}"));
  }
  for (const each of root.querySelectorAll("[data-label]")) {
    each.setAttribute("aria-label", say(each.dataset.label, JSON.parse(each.dataset.values ?? "{}")));
  }
  for (const each of root.querySelectorAll("[data-hint]")) each.placeholder = say(each.dataset.hint);
}
