"""E-mail addresses: what is found, what is not, and what redaction leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.safety import EmailJudge, Finding, Judge, redact

JUDGE: Judge = EmailJudge()

FOUND = [
    ("write to me@example.com", "me@example.com"),
    ("请联系张三zhang@example.com。", "zhang@example.com"),
    ("邮箱：li.si@mail.tsinghua.edu.cn，谢谢", "li.si@mail.tsinghua.edu.cn"),
    ("<first.last+tag@sub.host-name.co.uk>", "first.last+tag@sub.host-name.co.uk"),
    ("mailto:a_b@c.org?subject=x", "a_b@c.org"),
    ("ADA@EXAMPLE.COM", "ADA@EXAMPLE.COM"),
    ("ends here: ada@example.com.", "ada@example.com"),
    ("ada@example.com.Then it rained", "ada@example.com"),
    ("...ada@example.com", "ada@example.com"),
    ("ada@example.com: hello", "ada@example.com"),
    ("https://lists.org/list/dev@python.org/thread", "dev@python.org"),
    ("a%b@x.museum", "a%b@x.museum"),
    ("ada@xn--fiq228c.com", "ada@xn--fiq228c.com"),
    ("12345678@qq.com", "12345678@qq.com"),
    ("zhang@b.com(张三)", "zhang@b.com"),
    ("zhang@b.com（张三）", "zhang@b.com"),
    ("邮箱a@b.com:请回复", "a@b.com"),
    ("邮箱a@b.com：ok", "a@b.com"),
    ("chet@ins.CWRU.Edu", "chet@ins.CWRU.Edu"),
    ("Ada@Example.Com wrote", "Ada@Example.Com"),
    ("ada@example.com.In the evening", "ada@example.com"),
    ("wang@shop.top", "wang@shop.top"),
    ("客服 kf@mall.vip。", "kf@mall.vip"),
    ("联系zhang＠b.com，谢谢", "zhang＠b.com"),
    ("联系zhang@b．com，谢谢", "zhang@b．com"),
    ("ｚｈａｎｇ＠ｂ．ｃｏｍ：ｏｋ", "ｚｈａｎｇ＠ｂ．ｃｏｍ"),
]

NOT_FOUND = [
    "@decorator",
    "@app.command",
    "user@host",
    "root@localhost:~$",
    "git@github.com:org/name.git",
    "ssh://git@github.com/org/name",
    "https://user:pass@host.com/path",
    "postgresql://scott:tiger@db.example.com/x",
    "pip install ruff@0.17.6",
    "actions/checkout@v4",
    "npm i lodash@4.17.21",
    "a@b.T",
    "x@w.mT",
    "y = x@self.weight",
    "A@B.to(device)",
    "q@k.transpose(0, 1)",
    "icon@2x.png",
    "@ home.com",
    "me @example.com",
    "ada.@example.com",
    "someone@.com",
    "getty@tty1.service",
    "ada@example.com_old",
    "ada@example.c",
    "follow @openai on x.com",
    "git@gitee.com:org/name",
    "x@model.fit(X, y)",
    "X@w.Mt",
    "转发＠张三：好",
    "价格＠１．５",
]


@pytest.mark.parametrize(("text", "address"), FOUND)
def test_an_address_is_found(text: str, address: str) -> None:
    assert [text[one.start : one.end] for one in JUDGE.judge(text)] == [address]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_an_address_is_not(text: str) -> None:
    assert JUDGE.judge(text) == []


def test_findings_come_in_order_and_name_their_rule() -> None:
    first, second = JUDGE.judge("a1@b.com, c2@d.org")
    assert (first.category, first.rule) == ("email", "email-address")
    assert first.end <= second.start


def test_redaction_replaces_and_leaves_the_rest() -> None:
    text = "请联系张三zhang@example.com。或 li@example.org！"
    assert redact(text, JUDGE.judge(text)) == "请联系张三<EMAIL>。或 <EMAIL>！"
    assert redact(text, []) == text


def test_overlapping_findings_are_all_removed() -> None:
    findings = [Finding(2, 6, "name", "n"), Finding(0, 4, "email", "e"), Finding(8, 9, "id", "i")]
    assert redact("0123456789", findings) == "<EMAIL>67<ID>9"


@given(st.text(alphabet="ab.@-_%+ /:中。(TC1＠．ａ", max_size=60))
def test_findings_lie_in_the_text_and_redaction_ends(text: str) -> None:
    findings = JUDGE.judge(text)
    assert all(0 <= one.start < one.end <= len(text) and "@" in text[one.start : one.end] for one in findings)
    assert JUDGE.judge(redact(text, findings)) == []


@pytest.mark.parametrize(
    "text", ["a" * 300_000 + "@b.com", "@" + "a." * 150_000, "x@" + "a-" * 150_000, "＠ａ．" * 100_000]
)
def test_a_hostile_text_is_read_in_time(text: str) -> None:
    JUDGE.judge(text)
