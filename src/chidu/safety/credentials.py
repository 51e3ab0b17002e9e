"""Secrets: private keys, keys of clouds and services by prefix and length, passwords in addresses and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chidu.safety.finding import Finding
from chidu.safety.patterns import REACH, lowered, plain

__all__ = ["LONGEST_KEY", "LONGEST_TOKEN", "CredentialJudge"]

LONGEST_TOKEN = 4096
"""Characters of a token that are looked at; one that is longer is cut there."""
LONGEST_KEY = 8192
"""Characters of a private key's block that are looked at."""
_PASSWORD = 128

_WORD = r"A-Za-z0-9_\-"
_END = rf"(?![{_WORD}])"
# Rule → what it looks like. Each begins where a run of the characters of tokens begins: one in a run at most.
_TOKENS = {
    "jwt": rf"eyJ[{_WORD}]{{8,1500}}\.eyJ[{_WORD}]{{8,1500}}\.[{_WORD}]{{8,1000}}",
    "aws-key": rf"(?:AKIA|ASIA)[A-Z0-9]{{16}}{_END}",
    "github-token": rf"(?:gh[pousr]_[A-Za-z0-9]{{36}}|github_pat_[A-Za-z0-9_]{{82}}){_END}",
    "gitlab-token": rf"glpat-[{_WORD}]{{20,64}}",
    "slack-token": rf"xox[abeoprs]-[{_WORD}]{{20,250}}",
    "google-key": rf"(?:AIza[{_WORD}]{{35}}|GOCSPX-[{_WORD}]{{28}}){_END}",
    "google-token": rf"ya29\.[{_WORD}]{{30,400}}",
    "openai-key": rf"sk-(?:proj-|svcacct-|admin-|ant-(?:api|admin)\d\d-)?(?=[{_WORD}]{{0,200}}\d)[{_WORD}]{{32,200}}",
    "huggingface-token": rf"hf_[A-Za-z]{{34}}{_END}",
    "stripe-key": rf"[rs]k_(?:live|test)_[A-Za-z0-9]{{20,99}}{_END}",
    "npm-token": rf"npm_[A-Za-z0-9]{{36}}{_END}",
    "pypi-token": rf"pypi-AgE[{_WORD}]{{50,500}}",
    "sendgrid-key": rf"SG\.[{_WORD}]{{22}}\.[{_WORD}]{{43}}{_END}",
    "digitalocean-token": rf"do[opr]_v1_[a-f0-9]{{64}}{_END}",
    "aliyun-key": rf"LTAI[A-Za-z0-9]{{16,20}}{_END}",
    "tencent-key": rf"AKID[A-Za-z0-9]{{32,48}}{_END}",
}
_PREFIXES = (
    "eyJ", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "AIza", "GOCSPX-",
    "ya29.", "sk-", "hf_", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "npm_", "pypi-", "SG.", "dop_v1_", "doo_v1_",
    "dor_v1_", "LTAI", "AKID",
)  # fmt: skip
_FIRST_LINE = "-----BEGIN "
_OPEN_PREFIX = re.compile(
    rf"(?<![{_WORD}.])(?:"
    + "|".join(re.escape(part) for part in sorted({one[:size] for one in _PREFIXES for size in range(1, len(one))}))
    + rf")\Z|(?:{'|'.join(_FIRST_LINE[:size] for size in range(1, len(_FIRST_LINE)))}"
    rf"|{_FIRST_LINE}[A-Z0-9 ]{{0,45}}-{{0,5}})\Z"
)
_TOKEN = re.compile(
    rf"(?<![{_WORD}.])(?:" + "|".join(f"(?P<{name.replace('-', '_')}>{shape})" for name, shape in _TOKENS.items()) + ")"
)
_OPEN_TOKEN = re.compile(
    rf"(?<![{_WORD}.])(?:" + "|".join(map(re.escape, _PREFIXES)) + rf")[{_WORD}.]{{0,{LONGEST_TOKEN}}}\Z"
)

_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
# A break is one, or is written out, as in JSON. Each line begins with one, so there is one way to read a block.
_BREAK = r"(?:\r?\n|\\r\\n|\\n)[ \t]{0,16}"
_LINES = rf"(?:{_BREAK}(?:[A-Za-z-]{{1,20}}: [^\n\\]{{1,100}}|[A-Za-z0-9+/=]{{0,100}})(?=\s|\\|\Z|[\"'`])){{0,400}}"
_BODY = re.compile(rf"{_LINES}(?:{_BREAK}-----END [A-Z0-9 ]{{1,40}}-----)?")
_OPEN_BODY = re.compile(rf"{_LINES}(?:(?:{_BREAK})?[A-Za-z0-9+/=:,. \t-]{{0,130}}|\r|\\[rn\\]{{0,2}})\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16}")

_URL = re.compile(r"://(?=([^\s/@:?#]{0,64}:[^\s/@]{1,128})@)")
_OPEN_URL = re.compile(r"://[^\s/@]{0,200}\Z")

_NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "secret_key", "client_secret", "api_key", "api-key", "apikey",
    "access_token", "auth_token", "access_key", "private_token", "密码", "口令", "密钥", "秘钥",
)  # fmt: skip
_NEEDED = ("passw", "passphrase", "pwd", "secret", "key", "token", "密码", "口令", "钥")
"""One of which stands in every name."""
_NAME = re.compile("|".join(sorted(_NAMES, key=len, reverse=True)))
_SET = r"[\"']?[ \t]{0,2}(=>|:=|[:=]|is(?![a-z])|是|为)[ \t]{0,2}([\"'`]?)"
_VALUE = re.compile(rf"{_SET}([^\s\"'`,;<>(){{}}，。；、]{{6,{_PASSWORD}}}+)(?![(\[])")
_OPEN_VALUE = re.compile(rf"{_SET}[^\s\"'`,;<>(){{}}，。；、]{{0,{_PASSWORD}}}\Z")
_LETTER, _DIGIT, _SIGN = re.compile("[A-Za-z]"), re.compile(r"\d"), re.compile(r"[^A-Za-z0-9]")
_STAND_IN = re.compile(
    r"(?i)(?:x{4}|\*{3}|\.{3}|changeme|change_me|example|your[_-]?|placeholder|redacted|dummy|\$\w|%\w+%"
    r"|environ|getenv|config\b|settings\b|self\.|https?:)"
)


class CredentialJudge:
    """Finds secrets."""

    def judge(self, text: str) -> list[Finding]:
        """Return the findings in the order in which they start."""
        text = plain(text)
        return sorted([*_keys(text), *_tokens(text), *_urls(text), *_assigned(text)])

    def open_from(self, text: str, since: int = 0) -> int:
        """Return where a secret has begun that could still go on; the text's end where none has."""
        text = plain(text)
        end = len(text)
        found = [end]
        if match := _OPEN_PREFIX.search(text, max(since, end - REACH)):
            found.append(match.start())
        if any(prefix in text for prefix in _PREFIXES) and (match := _OPEN_TOKEN.search(text)):
            found.append(match.start())
        found += [
            begin.start()
            for begin in _begun_keys(text)
            if end - begin.start() < LONGEST_KEY and _OPEN_BODY.match(text, begin.end())
        ]
        if "://" in text and (match := _OPEN_URL.search(text, max(0, end - 210))):
            found.append(match.start())
        since = max(0, end - _PASSWORD - REACH)
        low = lowered(text[since:])
        found += [since + name.start() for name in _NAME.finditer(low) if _OPEN_VALUE.match(low, name.end())]
        return min(found)


def _begun_keys(text: str) -> Iterator[re.Match[str]]:
    return _BEGIN.finditer(text) if "PRIVATE KEY" in text else iter(())


def _keys(text: str) -> Iterator[Finding]:
    for begin in _begun_keys(text):
        body = _BODY.match(text, begin.end(), begin.start() + LONGEST_KEY)
        # The first line alone is what a manual shows.
        if body is not None and _BASE64.search(body[0]):
            yield Finding(begin.start(), body.end(), "private_key", "private-key")


def _tokens(text: str) -> Iterator[Finding]:
    if any(prefix in text for prefix in _PREFIXES):
        for match in _TOKEN.finditer(text):
            yield Finding(match.start(), match.end(), "token", str(match.lastgroup).replace("_", "-"))


def _urls(text: str) -> Iterator[Finding]:
    if "://" in text and "@" in text:
        for match in _URL.finditer(text):
            name, _, password = match[1].partition(":")
            if not _STAND_IN.search(password) and password.lower() not in ("password", "pass", "pwd", "port", name):
                yield Finding(match.start(1), match.end(1), "password", "url-password")


def _assigned(text: str) -> Iterator[Finding]:
    low = lowered(text)
    if not any(word in low for word in _NEEDED):
        return
    for name in _NAME.finditer(low):
        match = _VALUE.match(low, name.end())
        if match is None:
            continue
        start, end = match.span(3)
        if _is_secret(text[start:end], is_quoted=bool(match[2]), is_said=match[1] in ("is", "是", "为")):
            yield Finding(start, end, "password", "assigned-secret")


def _is_secret(value: str, *, is_quoted: bool, is_said: bool) -> bool:
    """Tell whether a value looks like a secret: letters with digits, or with signs in quotes, and no stand-in."""
    if not value.isascii() or _STAND_IN.search(value):
        return False
    value = value.rstrip(".!?")
    if len(value) < 6 or not _LETTER.search(value):
        return False
    if _DIGIT.search(value):
        return True
    return is_quoted and not is_said and _SIGN.search(value.strip("-_./")) is not None
