"""The default corpus, on a small site-packages of our own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from chidu.corpus import Document, Dropped, installed_documentation
from chidu.corpus.docstrings import read_docstrings
from chidu.corpus.installed import licence

LONG = "It does a thing that takes more than fifty characters to explain to anybody."


def install(
    site: Path,
    name: str,
    files: dict[str, bytes],
    metadata: str = "",
    direct_url: str = "",
    absent: tuple[str, ...] = (),
) -> None:
    """Write a package and the dist-info folder an installer would."""
    info = site / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n{metadata}", encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in [*files, *absent]), encoding="utf-8")
    if direct_url:
        (info / "direct_url.json").write_text(direct_url, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    module = f'''"""A module. {LONG}"""
raise SystemExit("nobody may import this")
class Thing:
    """A thing. {LONG}

    First level.
        Indented.
    """
    def short(self):
        """Return it."""
    if True:
        async def hidden(self):
            r"""Under an if. {LONG}"""
def same():
    """A thing. {LONG}

    Indented.
    """
'''
    files = {
        "alpha/__init__.py": module.encode(),
        "alpha/broken.py": b'"""A module."""\ndef (:',
        "alpha/plain.py": b"x = 1\n",
        "alpha/old.py": f'# -*- coding: gbk -*-\n"""中文说明：{LONG}"""\n'.encode("gbk"),
        "alpha/bad.py": b'# coding: nonsense\n"""A module."""\n',
        "alpha/deep.py": b'"""Deep."""\nx = ' + b"(" * 5000 + b")" * 5000,
        "alpha/bytes.py": b'def f():\n    b"""not a docstring, it is bytes, and longer than fifty characters"""\n',
        "alpha/_vendor/beta.py": f'"""Vendored. {LONG}"""'.encode(),
        "alpha/tests/inner.py": f'"""A test. {LONG}"""'.encode(),
        "alpha/test_alpha.py": f'"""A test. {LONG}"""'.encode(),
        "alpha/data.json": b"{}",
        "../bin/alpha.py": b"",
    }
    readme = "License-Expression: MIT OR Apache-2.0\n\n# Alpha\n\nThe readme of alpha.\n"
    install(tmp_path / "site", "alpha", files, readme, absent=("alpha/absent.py",))
    install(tmp_path / "site", "Chidu", {"chidu.py": f'"""Own. {LONG}"""'.encode()})
    editable = json.dumps({"url": "file:///x", "dir_info": {"editable": True}})
    install(tmp_path / "site", "mine", {"mine.py": f'"""Mine. {LONG}"""'.encode()}, direct_url=editable)
    return tmp_path / "site"


@pytest.fixture
def found(site: Path) -> tuple[list[Document], list[Dropped]]:
    items = list(installed_documentation([site], workers=1))
    return [one for one in items if isinstance(one, Document)], [one for one in items if isinstance(one, Dropped)]


def test_each_docstring_is_a_document(found: tuple[list[Document], list[Dropped]]) -> None:
    documents, _ = found
    readme, module, thing, hidden, same, old = documents
    assert "The readme of alpha." in readme.text
    assert module.text == f"A module. {LONG}"
    assert thing.text == f"A thing. {LONG}\n\nFirst level.\n    Indented."
    assert hidden.text == f"Under an if. {LONG}"
    assert same.text == f"A thing. {LONG}\n\nIndented."
    assert "中文说明" in old.text
    assert {(one.source, one.version, one.licence) for one in documents} == {("alpha", "1.2", "MIT OR Apache-2.0")}
    assert module.where == "alpha/__init__.py:1"
    assert "alpha" not in sys.modules


def test_what_is_left_out_is_listed(found: tuple[list[Document], list[Dropped]]) -> None:
    _, dropped = found
    reasons = {one.where or one.source: one.reason for one in dropped}
    # From Python 3.12, files that are listed but absent are not even named.
    assert reasons.pop("alpha/absent.py", "file can't be read") == "file can't be read"
    assert reasons.pop("alpha/deep.py") in ("Python nested too deeply", "not Python of this version")
    assert reasons == {
        "Chidu": "Chidu itself",
        "mine": "package in editable mode",
        "alpha/_vendor/beta.py": "copy of another package",
        "alpha/tests/inner.py": "test file",
        "alpha/test_alpha.py": "test file",
        "../bin/alpha.py": "script outside its package",
        "alpha/broken.py": "not Python of this version",
        "alpha/bad.py": "not Python of this version",
        "alpha/__init__.py:10": "docstring shorter than 50 characters",
    }


def test_a_docstring_seen_before_is_dropped_whatever_its_indent(tmp_path: Path) -> None:
    of_class = f'class A:\n    """{LONG}\n\n    More.\n    """\n'
    of_method = f'    def f(self):\n        """{LONG}\n\n        More.\n        """\n'
    install(tmp_path, "p", {"p.py": (of_class + of_method).encode()})
    document, dropped = installed_documentation([tmp_path], workers=1)
    assert isinstance(document, Document)
    assert document.text == f"{LONG}\n\nMore."
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.where) == ("docstring seen before", "p.py:7")
    assert len(dropped.id) == 64


def test_metadata_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    install(tmp_path, "good", {"good.py": f'"""Good. {LONG}"""'.encode()})
    install(tmp_path, "odd", {"odd.py": f'"""Odd. {LONG}"""'.encode()}, direct_url="{")
    (tmp_path / "~orn-1.0.dist-info").mkdir()
    (tmp_path / "latin-1.0.dist-info").mkdir()
    (tmp_path / "latin-1.0.dist-info" / "METADATA").write_bytes(b"Name: caf\xe9\n")
    (tmp_path / "bare-1.0.dist-info").mkdir()
    (tmp_path / "bare-1.0.dist-info" / "METADATA").write_text("Name: bare\nVersion: 1.0\n", "utf-8")
    items = list(installed_documentation([tmp_path], workers=1))
    assert [one.source for one in items if isinstance(one, Document)] == ["good"]
    reasons = [one.reason for one in items if isinstance(one, Dropped)]
    assert sorted(reasons) == ["metadata can't be read"] * 3 + ["package without a list of files"]


def test_the_order_does_not_depend_on_the_workers(site: Path) -> None:
    seen: list[float] = []
    alone = list(installed_documentation([site], workers=1, progress=lambda fraction, words: seen.append(fraction)))
    assert list(installed_documentation([site], workers=2)) == alone
    assert seen[-1] == 1.0


def test_surrogates_and_null_bytes_are_survived() -> None:
    assert read_docstrings("m", b'"""a\0b"""').reason == "not Python of this version"
    found = read_docstrings("m", rb'"""half a pair: \ud800"""')
    assert found.docstrings[0].text == "half a pair: \ud800"
    assert read_docstrings("m", b"x = 'no triple quotes'").docstrings == []
    assert read_docstrings("m", b"\xef\xbb\xbf'''with a mark'''").docstrings[0].text == "with a mark"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"license_expression": "MIT", "license": "BSD"}, "MIT"),
        ({"license": "BSD 3-Clause License\n\nCopyright (c)\nAll rights"}, "BSD 3-Clause License"),
        ({"license": "x" * 500}, "x" * 60),
        ({"license": "UNKNOWN", "classifier": ["License :: OSI Approved :: ISC License (ISCL)"]}, "ISC License (ISCL)"),
        ({"classifier": ["License :: OSI Approved :: A", "License :: B", "Topic :: C"]}, "A OR B"),
        ({}, "unknown"),
    ],
)
def test_licence_as_stated(metadata: dict[str, str | list[str]], expected: str) -> None:
    assert licence(metadata) == expected
