"""The documentation, run: its Python, its commands, its links, and the names it uses."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main

import chidu.cli
import chidu.errors
from chidu.runs.settings import Settings

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "SECURITY.md", "LOG.md")]
SKIPPED = "…"
NUMBER = re.compile(r"[-+±]?\d[\d.,]*(?:e[-+]?\d+)?[kMBT%×]*")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


class Block(NamedTuple):
    language: str
    code: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """Fenced blocks of a page, of these languages or of all."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [Block(*one) for one in found if not languages or one[0] in languages]


def with_blocks(*languages: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, *languages)]


@cache
def flags() -> dict[str, set[str]]:
    """Verb → its flags."""
    group = typer.main.get_command(chidu.cli.app)
    return {
        verb: {"--help", "-h"}.union(
            text
            for one in (command, *getattr(command, "commands", {}).values())
            for option in one.params
            for text in (*option.opts, *option.secondary_opts)
        )
        for verb, command in group.commands.items()  # type: ignore[attr-defined]
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where examples run: beside copies of the tables in docs/examples."""
    made = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs" / "examples", made, dirs_exist_ok=True)
    return made


@cache
def output_of(command: str, folder: Path) -> str:
    """What a command prints; the same command on several pages runs once."""
    words = shlex.split(command)
    assert words[0] == "chidu", command
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "COLUMNS": "200"},
        timeout=180,
    )
    assert ended.returncode == 0, f"$ {command}\n{ended.stderr}"
    return ended.stdout


def examples(block: Block) -> list[tuple[str, list[str]]]:
    """Commands of a console block, each with the lines of output shown under it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def masked(line: str) -> str:
    """A line without its numbers and widths: these are the machine's and the release's, the words are ours."""
    return " ".join(NUMBER.sub("#", re.sub("-{3,}", "---", line)).split())


def shows(shown: str, real: str) -> bool:
    """True where a line of the page is a line of the output, apart from numbers and what `…` stands for."""
    pattern = ".*".join(re.escape(masked(part)) for part in shown.split(SKIPPED))
    return re.fullmatch(pattern.replace(".*", r"\s?.*\s?"), masked(real)) is not None


@pytest.mark.parametrize("page", with_blocks("console"), ids=name_of)
def test_console_examples_run_and_print_what_is_shown(page: Path, folder: Path) -> None:
    for block in blocks(page, "console"):
        for command, shown in examples(block):
            real = [line for line in output_of(command, folder).splitlines() if line.strip()]
            wanted = [line for line in shown if line.strip()]
            place = 0
            for line in wanted:
                if line.strip() == SKIPPED:
                    continue
                matches = [i for i in range(place, len(real)) if shows(line, real[i])]
                assert matches, f"{name_of(page)}: $ {command} does not print {line!r} (any more):\n" + "\n".join(real)
                place = matches[0] + 1
            if wanted and not any(SKIPPED in line for line in wanted):
                assert len(wanted) == len(real), f"{name_of(page)}: $ {command} prints more, and no … says so"


@pytest.mark.parametrize("page", with_blocks("python"), ids=name_of)
def test_python_examples_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run, and a comment after a `print` is what it prints."""
    monkeypatch.chdir(folder)
    for block in blocks(page, "python"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.code, name_of(page), "exec"), {"__name__": "__main__"})
        for comment in re.findall(r"^\s*print\(.*\)  # (.+)$", block.code, flags=re.MULTILINE):
            assert comment in printed.getvalue().splitlines(), f"{name_of(page)}: {comment!r} is not printed"


@every_page
def test_commands_name_verbs_and_flags_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for verb in re.findall(r"(?:^|`|\$ )chidu ([a-z]\S*?)(?=[\s`]|$)", text, flags=re.MULTILINE):
        assert verb in flags(), f"{name_of(page)}: no verb {verb!r}"
    known = set().union(*flags().values()) | {"--version"}
    others = [line for block in blocks(page, "sh") for line in block.code.splitlines() if not line.startswith("chidu ")]
    for line in others:
        text = text.replace(line, "")
    for flag in FLAG.findall(text):
        assert flag in known, f"{name_of(page)}: no verb has {flag}"
    for block in blocks(page, "sh", "console"):
        for line in block.code.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("chidu "):
                words = shlex.split(command, comments=True)
                for flag in (word for word in words if word.startswith("--")):
                    assert flag in flags()[words[1]], f"{name_of(page)}: chidu {words[1]} has no {flag}"


@pytest.mark.parametrize("verb", sorted(flags()))
def test_every_verb_is_documented(verb: str) -> None:
    assert any(f"`chidu {verb}" in page.read_text(encoding="utf-8") for page in PAGES), verb


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)}: {target} is not there"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, f"{name_of(page)}: {target}"


@pytest.mark.parametrize("index", ["docs/index.md", "docs/zh/index.md"])
def test_the_index_names_every_page_beside_it(index: str) -> None:
    text = (ROOT / index).read_text(encoding="utf-8")
    for page in (ROOT / index).parent.glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in text, f"{index} does not link {page.name}"


@pytest.mark.parametrize(
    "pair",
    [READMES, *([ROOT / "docs" / page.name, page] for page in sorted((ROOT / "docs/zh").glob("*.md")))],
    ids=lambda pair: name_of(pair[1]),
)
def test_both_languages_say_the_same(pair: list[Path]) -> None:
    """As many sections and tables, and the same examples but for comments."""
    english, chinese = map(prose, pair)
    assert re.findall(r"^#+(?= )", english, re.M) == re.findall(r"^#+(?= )", chinese, re.M)
    assert len(re.findall(r"^\|-", english, re.M)) == len(re.findall(r"^\|-", chinese, re.M))
    runnable = [[re.sub("#.*", "", block.code) for block in blocks(page, "python", "console", "sh")] for page in pair]
    stripped = [["\n".join(map(str.rstrip, code.splitlines())) for code in page] for page in runnable]
    assert stripped[0] == stripped[1]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_the_readmes_have_as_many_blocks_and_pictures() -> None:
    english, chinese = READMES
    assert [block.language for block in blocks(english)] == [block.language for block in blocks(chinese)]
    assert len(re.findall(r"^!\[", prose(english), re.M)) == len(re.findall(r"^!\[", prose(chinese), re.M))


def test_pictures_are_small() -> None:
    for path in (ROOT / "docs/images").iterdir():
        assert path.stat().st_size < 250_000, path.name


@pytest.mark.parametrize("page", ["docs/demo.md", "docs/zh/demo.md"])
def test_the_table_of_settings_is_whole(page: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE))
    for field in dataclasses.fields(Settings):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        shown = "`[]`" if default == () else f"`{default}`" if isinstance(default, (str, dict)) else None
        assert (shown or f"| {default} |") in rows[field.name], f"{page}: {field.name} is {field.default}"


def test_every_error_is_explained() -> None:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    for name in chidu.errors.__all__:
        if name.endswith("Error") and name != "InputError":
            assert name in text, name
