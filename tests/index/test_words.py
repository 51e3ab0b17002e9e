"""Words of texts in scripts with and without blanks."""

from __future__ import annotations

import pytest

from chidu.errors import SettingError
from chidu.index.words import stemmer, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Law's 2nd form", ["the", "law", "s", "2nd", "form"]),
        ("read_csv readFile HTTPServer NumPy GPU", [
            "read", "csv", "readfile", "read", "file", "httpserver", "http", "server", "numpy", "num", "py", "gpu",
        ]),
        ("模型", ["模", "型", "模型"]),
        ("用GPU训练", ["用", "gpu", "训", "练", "训练"]),
        ("Ｆｕｌｌ　ｗｉｄｔｈ Straße CAFÉ", ["full", "width", "strasse", "café"]),
        ("ภาษา", ["ภ", "า", "ษ", "า", "ภา", "าษ", "ษา"]),
        ("… !? _", []),
    ],
)  # fmt: skip
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_stemming_is_optional_and_leaves_chinese_alone() -> None:
    assert stemmer("") is words
    assert stemmer("english")("running models 模型") == ["run", "model", "模", "型", "模型"]
    with pytest.raises(SettingError, match="english"):
        stemmer("klingon")
