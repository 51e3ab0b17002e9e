"""Phrases of ours, in English and Chinese: what asks for harm or announces it, and what tries to command a model.

A list finds words, not meaning. So these are phrases in which the words have a context: who is to be harmed, or "how
to" before a deed; a word alone ("kill", "bomb", a group's name) is in none of them. They find what is said plainly and
little else: who writes around them is not found, and an irony or a quotation is not told from a threat. Of S3, S5, S6,
S8, S13 and S14 there are none: these need a judge that understands.
"""

from __future__ import annotations

from chidu.safety.patterns import Phrase

__all__ = ["HAZARD_PHRASES", "INJECTION_PHRASES"]

_HOW = (
    "(?:how (?:to|do i|can i|do you|could i)|steps to|instructions (?:for|to)|ways? to|teach me(?: how)? to|help me|"
    "show me how to|i want to|guide to)"
)
_HOW_WORDS = ("how ", "steps to", "instructions ", "way to", "ways to", "teach me", "help me", "i want to", "guide to")
_HOW_ZH = "(?:怎[么样](?:才能|去|能)?|如何|教我(?:怎么|如何)?|告诉我(?:怎么|如何))"
_HOW_WORDS_ZH = ("怎么", "怎样", "如何", "教我")
_GROUPS = (
    "(?:jews|muslims|christians|hindus|blacks|black people|whites|white people|asians|arabs|africans|mexicans|"
    "indians|"
    "gays|gay people|lesbians|homosexuals|trans people|transgender people|immigrants|refugees|foreigners|women|"
    "chinese people|roma|gypsies|disabled people|old people)"
)
_GROUPS_ZH = (
    "(?:黑人|白人|犹太人|穆斯林|回民|基督徒|同性恋者?|跨性别者?|女人|女性|外地人|河南人|东北人|移民|难民|外国人|"
    "日本人|印度人|非洲人|"
    "残疾人|老年人|少数民族)"
)
_SOMEBODY = (
    "(?:you\\b(?! an?\\b| the\\b| some\\b)|him\\b|her\\b(?! an?\\b)|"
    "my (?:wife|husband|boss|neighbou?rs?|ex|family|classmates|teacher|roommate))"
)

HAZARD_PHRASES = (
    Phrase(
        "threat-en",
        "violent_crimes",
        ("kill", "murder", "stab", "shoot", "strangle", "behead"),
        "(?:i|we)(?:'ll| will|'m going to| am going to|'m gonna| want to) (?:kill|murder|stab|shoot|strangle|behead) "
        f"{_SOMEBODY}",
    ),
    Phrase(
        "murder-how-en",
        "violent_crimes",
        ("kill", "murder", "poison", "hitman", "kidnap"),
        f"{_HOW} (?:get away with murder|hire a hitman|(?:kill|murder|poison|kidnap) "
        "(?:someone|somebody|people|a (?:person|man|woman|child|kid)|my (?:wife|husband|boss|neighbou?r|ex|"
        "family)))\\b",
    ),
    Phrase(
        "threat-zh",
        "violent_crimes",
        ("杀", "弄死", "砍死", "捅死"),
        "(?:我|我们|老子)(?:一定|真的)?(?:想|要|会|就)?(?:杀了|杀死|弄死|砍死|捅死|杀光)(?:你|他|她|你们|他们|"
        "她们|我老[婆公板])",
    ),
    Phrase(
        "murder-how-zh",
        "violent_crimes",
        _HOW_WORDS_ZH,
        f"{_HOW_ZH}(?:杀人|雇凶|买凶|绑架|(?:杀死|毒死|勒死|弄死)(?:人|别人|一个人|某人|我的?(?:老婆|老公|妻子|"
        f"丈夫|老板|邻居|同学)))",
    ),
    Phrase(
        "crime-how-en",
        "non_violent_crimes",
        _HOW_WORDS,
        f"{_HOW} (?:launder(?: dirty)? money|hotwire an? car|steal (?:a car|a bike|cars|credit cards|"
        f"someone's identity)|"
        "(?:counterfeit|print fake) (?:money|bills)|forge (?:a |an )?(?:passport|prescription|id\\b|check)|"
        "(?:make|buy|get) (?:a )?fake (?:id|passport)s?\\b|clone (?:a )?credit cards?|shoplift|evade (?:my )?taxes)",
    ),
    Phrase(
        "drugs-how-en",
        "non_violent_crimes",
        ("meth", "fentanyl", "heroin", "cocaine", "mdma", "lsd"),
        f"{_HOW} (?:make|cook|synthesi[sz]e|produce) (?:crystal )?(?:meth|fentanyl|heroin|crack cocaine|cocaine|"
        f"mdma|lsd)",
    ),
    Phrase(
        "hacking-how-en",
        "non_violent_crimes",
        ("hack", "ransomware", "keylogger", "phishing", "malware", "virus"),
        f"{_HOW} (?:hack (?:into )?(?:someone|somebody|a bank|my (?:ex|wife|husband|boss|neighbou?r|school))|"
        "(?:write|make|create|build) (?:a |an |some )?(?:ransomware|keylogger|malware|computer virus|"
        "phishing (?:e?mail|page|site)))",
    ),
    Phrase(
        "crime-how-zh",
        "non_violent_crimes",
        _HOW_WORDS_ZH,
        f"{_HOW_ZH}(?:洗钱|制毒|贩毒|偷车|逃税|诈骗|骗钱|办假证|做假证|(?:制作|制造|合成|做)(?:冰毒|芬太尼|"
        f"海洛因|摇头丸|假币|假钞|假证)|"
        "伪造(?:护照|身份证|货币|公章|签名|学历)|(?:入侵|黑进)(?:别人|他人|银行|学校)|盗取?(?:别人|"
        "他人)的?(?:账号|密码|银行卡|微信)|"
        "(?:写|制作|做)(?:一个|个)?(?:勒索软件|勒索病毒|木马|钓鱼网站|钓鱼邮件|恶意软件))",
    ),
    Phrase(
        "weapons-how-en",
        "indiscriminate_weapons",
        (
            "bomb",
            "molotov",
            "napalm",
            "sarin",
            "nerve",
            "mustard gas",
            "chlorine",
            "ricin",
            "anthrax",
            "smallpox",
            "nuclear",
            "explosive",
        ),
        f"{_HOW} (?:build|make|construct|synthesi[sz]e|produce|create|weaponi[sz]e) [^.!?\\n]{{0,10}}?"
        "(?:(?:pipe|nail|dirty|car|home)[- ]?bombs?\\b|"
        "(?<!bath )(?<!photo)(?<!seed )(?<!logic )(?<!email )(?<!cherry )bombs?\\b"
        "(?! shelter| cal| cyclone|s? proof)|molotov|napalm|sarin\\b|nerve agent|mustard gas|chlorine gas|"
        "ricin\\b|anthrax|smallpox|"
        "nuclear weapon|explosives\\b)",
    ),
    Phrase(
        "weapons-how-zh",
        "indiscriminate_weapons",
        ("炸弹", "炸药", "燃烧瓶", "沙林", "毒气", "毒剂", "芥子气", "蓖麻毒素", "炭疽", "武器", "雷管"),
        f"(?:{_HOW_ZH}|在家)(?:自己|在家)?(?:制作|制造|自制|合成|组装|配制|培养|做|造)[^。!?\\n]{{0,4}}?"
        "(?:炸弹|炸药|燃烧瓶|沙林|毒气|神经毒剂|芥子气|蓖麻毒素|炭疽|生化武器|核武器|雷管)",
    ),
    Phrase(
        "hate-is-en",
        "hate",
        (
            "vermin",
            "human",
            "animals",
            "parasites",
            "roaches",
            "rats",
            "plague",
            "disease",
            "scum",
            "filth",
            "inferior",
        ),
        f"{_GROUPS} are (?:all |just |only |nothing but )?"
        "(?:vermin|sub-?humans?|animals|parasites|cockroaches|rats|a plague|a disease|scum|filth|inferior)\\b",
    ),
    Phrase(
        "hate-should-en",
        "hate",
        ("die", "kill", "exterminate", "gas", "burn", "lynch", "wiped"),
        f"{_GROUPS} (?:should|must|deserve to|need to) (?:all )?(?:be )?"
        "(?:die|killed|exterminated|gassed|burned|lynched|wiped out)\\b",
    ),
    Phrase(
        "hate-do-en",
        "hate",
        ("kill", "exterminate", "lynch", "gas ", "hate "),
        f"(?:kill|exterminate|lynch|gas|i(?: really)? hate) (?:all )?(?:the |those |these )?{_GROUPS}\\b",
    ),
    Phrase(
        "hate-zh",
        "hate",
        (
            "畜生",
            "垃圾",
            "蛆",
            "寄生虫",
            "害虫",
            "劣等",
            "下等",
            "渣滓",
            "蟑螂",
            "低等",
            "去死",
            "杀",
            "消灭",
            "灭绝",
            "清除",
            "铲除",
        ),
        f"{_GROUPS_ZH}(?:全都|都|全|就)?(?:是|应该|该)(?:一群|一帮|都)?(?:畜生|垃圾|蛆|寄生虫|害虫|劣等|下等|"
        f"渣滓|蟑螂|低等|去死|被?(?:杀光|杀|消灭|灭绝|清除))"
        f"|(?:杀光|灭绝|消灭|铲除)(?:所有|全部|一切)?的?{_GROUPS_ZH}",
    ),
    Phrase(
        "suicide-urge-en",
        "suicide_self_harm",
        ("yourself", "kys", "die", "end it", "your life"),
        "(?:(?:go|just|should|please) kill yourself\\b|kys\\b|you (?:should|deserve to) (?:just |go )?(?:die|"
        "end (?:it all|your life))\\b)",
    ),
    Phrase(
        "suicide-how-en",
        "suicide_self_harm",
        ("myself", "suicide", "my life", "to die"),
        f"(?:{_HOW} (?:painlessly )?(?:kill myself|commit suicide|end my life|hang myself|cut myself|"
        f"starve myself)\\b"
        "|painless (?:ways?|methods?) to die\\b)",
    ),
    Phrase(
        "suicide-zh",
        "suicide_self_harm",
        ("去死", "自杀", "自残", "割腕", "上吊", "生命", "不想活", "无痛"),
        f"(?:你(?:怎么还不|应该|不如|还是)?(?:快)?去(?:死|自杀)|去死吧|{_HOW_ZH}(?:自杀|自残|割腕|上吊|"
        f"结束(?:自己的?|我的?)?生命)"
        "|(?<!预防)(?<!防止)(?<!避免)自杀的?(?:方法|方式|教程)|无痛(?:苦)?的?(?:自杀|死亡|死法)|我(?:真的|只|"
        "很)?(?:想|要)(?:去死|自杀)|我不想活)",
    ),
    Phrase(
        "sexual-write-en",
        "sexual_content",
        ("sex s", "erotic", "porn", "smut", "hentai"),
        "(?:write|tell|give|generate|describe|show|send)(?: me)? [^.!?\\n]{0,18}?"
        "(?:sex scenes?|sex story|sex stories|erotic (?:story|scene)|erotica|porn\\b|pornographic|smut\\b|hentai)",
    ),
    Phrase(
        "sexual-write-zh",
        "sexual_content",
        ("色情", "黄色小说", "情色", "成人小说", "床戏", "做爱", "肉文", "小黄文"),
        "(?:写|讲|生成|给我|描写|来)[^。!?\\n]{0,8}?"
        "(?:色情(?:小说|故事|文|片|图|视频)|黄色小说|情色(?:小说|故事)|成人小说|床戏|做爱(?:场景|过程|细节)|"
        "肉文|小黄文)",
    ),
    Phrase(
        "child-abuse-en",
        "child_sexual_exploitation",
        ("child", "kiddie", "underage", "preteen", "loli", "toddler", "minors"),
        "(?:find|send|share|download|watch|buy|sell|trade|make|generate|write|want|show)(?: me)?[^.!?\\n]{0,14}? "
        "(?:child|kiddie|underage|preteen|lolita|toddler|minors'?) (?:porn|sex|nudes?|erotica)",
    ),
    Phrase(
        "child-abuse-zh",
        "child_sexual_exploitation",
        ("儿童色情", "幼女", "萝莉", "未成年"),
        "(?:找|看|下载|发|买|卖|写|要|分享|生成|求|给我)[^。!?\\n]{0,6}?"
        "(?:儿童色情|(?:幼女|萝莉|未成年人?|未成年少女)的?(?:色情|裸照|性爱|性行为|黄片|床戏))",
    ),
)

INJECTION_PHRASES = (
    Phrase(
        "ignore-instructions-en",
        "prompt_injection",
        ("ignore", "disregard", "forget", "override", "bypass"),
        "(?:ignore|disregard|forget|override|bypass) (?:all |any |every |the |your |my |of |these |those ){0,3}"
        "(?:previous|prior|above|earlier|preceding|system|initial|original|safety) "
        "(?:instructions?|prompts?|rules|directions|directives|guidelines|orders|commands)",
    ),
    Phrase(
        "ignore-your-en",
        "prompt_injection",
        ("ignore", "disregard", "forget", "override", "bypass"),
        "(?:ignore|disregard|forget|override|bypass) (?:all |everything )?(?:of )?your "
        "(?:instructions|prompt|rules|guidelines|training|programming|restrictions)\\b",
    ),
    Phrase(
        "forget-everything-en",
        "prompt_injection",
        ("forget", "ignore", "disregard"),
        "(?:forget|ignore|disregard) (?:all|everything)(?: that)?(?: you were told| i said| written)?,? "
        "(?:above|before this|before|so far|previously)\\b",
    ),
    Phrase(
        "new-role-en",
        "prompt_injection",
        ("you are now", "you're now", "act as", "pretend", "from now on", "do anything now", " mode"),
        "(?:you(?: are|'re) now (?:dan\\b|in (?:developer|god|debug|jailbreak) mode|unrestricted|jailbroken|"
        "free from)|"
        "do anything now|(?:enter|enable|activate) (?:developer|god|debug|jailbreak) mode|"
        "(?:act as if|pretend) (?:that )?you(?: have| had|'ve) no (?:rules|restrictions|guidelines|limits|filters)|"
        "from now on,? you (?:will|must) (?:ignore|obey|only obey))",
    ),
    Phrase(
        "reveal-prompt-en",
        "prompt_injection",
        ("prompt", "instructions", "message"),
        "(?:reveal|print|show|repeat|output|leak|display|tell)(?: me| us)?(?: all)?(?: of)? (?:your|the) "
        "(?:system|hidden|initial|secret|original) (?:prompt|instructions|message)",
    ),
    Phrase(
        "hide-from-user-en",
        "prompt_injection",
        ("user",),
        "(?:(?:do not|don't|never) (?:tell|inform|alert|mention (?:this|it) to) the user\\b|without (?:telling|"
        "informing|alerting) the user\\b)",
    ),
    Phrase(
        "to-the-assistant-en",
        "prompt_injection",
        ("assistant", " ai", "language model", "llm"),
        "(?:attention[,:]|note to|instructions? (?:for|to)|message (?:for|to)) (?:the |any |all )?(?:ai|llm|"
        "language model)s?"
        "(?: assistants?| agents?| models?)?\\b",
    ),
    Phrase(
        "send-away-en",
        "prompt_injection",
        ("http", "@"),
        "(?:send|forward|post|upload|exfiltrate) (?:all |the |this |their |your ){0,2}"
        "(?:conversation|chat history|data|passwords?|credentials|api keys?|secrets?) to (?:https?:|[a-z0-9.]{1,8}@)",
    ),
    Phrase(
        "chat-marks",
        "prompt_injection",
        ("<|", "[inst]", "[/inst]", "<<sys>>", "<</sys>>", "<start_of_turn>"),
        "(?:<\\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\\|>|"
        "\\[/?inst\\]|"
        "<</?sys>>|<start_of_turn>)",
    ),
    Phrase(
        "new-instructions-en",
        "prompt_injection",
        ("instruction", "prompt", "end of"),
        "(?:new|updated|real|actual) (?:system )?(?:instructions?|prompt) ?:|end of (?:system prompt|context|"
        "document)\\W{0,4}"
        "(?:new|now|begin) ",
    ),
    Phrase(
        "ignore-instructions-zh",
        "prompt_injection",
        ("忽略", "无视", "忘记", "忘掉", "不要理会", "不用理会", "抛开", "抛弃", "跳过", "绕过", "违反"),
        "(?:忽略|无视|忘记|忘掉|不要理会|不用理会|抛开|抛弃|跳过|绕过|违反)(?:掉|你|你的|所有|一切|全部|任何|此|"
        "在此|在|这|的){0,4}"
        "(?:之前|以前|以上|上面|上述|前面|先前|此前|所有|一切|原有|原来|系统|初始|安全)的?(?:所有|一切|全部|"
        "任何|系统|安全)?的?"
        "(?:指令|指示|提示词?|规则|要求|设定|命令|约束|限制|规定|内容|对话)",
    ),
    Phrase(
        "new-role-zh",
        "prompt_injection",
        ("你现在", "从现在", "模式", "假装", "扮演"),
        "(?:(?:进入|开启|启用|切换到|激活)(?:开发者|越狱|上帝|调试|无限制|DAN|dan)模式|"
        "(?:你现在|从现在(?:开始|起),?你)(?:是|不再|没有|必须|将)[^。!?\\n]{0,10}?(?:不受|没有|任何|"
        "无)[^。!?\\n]{0,4}?(?:限制|约束|规则)|"
        "假装你?(?:没有|不受)任?何?(?:限制|约束|规则))",
    ),
    Phrase(
        "reveal-prompt-zh",
        "prompt_injection",
        ("提示", "指令", "设定", "消息"),
        "(?:输出|显示|透露|泄露|告诉我|打印|重复|复述|公开|给我看)[^。!?\\n]{0,4}?(?:系统|隐藏的?|初始|内部|"
        "原始)的?(?:提示词?|指令|设定|消息)",
    ),
    Phrase(
        "hide-from-user-zh",
        "prompt_injection",
        ("用户",),
        "(?:不要|别|切勿|不得|不能)(?:告诉|告知|通知|提醒|让)用户|(?:瞒着|不告诉|不通知)用户",
    ),
    Phrase(
        "send-away-zh",
        "prompt_injection",
        ("http", "@"),
        "(?:把|将)[^。!?\\n]{0,10}?(?:对话|数据|密码|密钥|聊天记录|信息)[^。!?\\n]{0,4}?(?:发送|发|上传|转发|"
        "传)(?:到|给|至)[^。!?\\n]{0,4}?(?:https?:|[a-z0-9.]{1,12}@)",
    ),
)
