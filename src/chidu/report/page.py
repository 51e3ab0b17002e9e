"""Write the page: sections in order, each only where its content is there, into one file."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chidu.errors import MissingPackageError
from chidu.report.content import ReportContent
from chidu.report.sections import Headline, Section, headline, sections, warnings
from chidu.report.texts import Texts, texts
from chidu.runs.record import write_atomic

__all__ = ["write_page", "write_report"]


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page, whole or not at all. It holds its charts and script, and asks no server for anything.

    Raises MissingPackageError where plotly or Jinja2 is not installed, SettingError for a language without texts.
    """
    text = texts(content.language)
    shown = sections(content, text)
    said, title = headline(content, text), text.say(content.title)
    write_page(path, text, title, said, shown, warnings(content.fit, text), content.refresh)


def write_page(
    path: Path,
    text: Texts,
    title: str,
    said: Headline,
    shown: Sequence[Section],
    warned: Sequence[str] = (),
    refresh: int | None = None,
) -> None:
    """Write a page of sections under a headline, whole or not at all."""
    template = _template()
    from markupsafe import Markup

    scripts = (_plotly_script(), _file("draw.js"))
    page = template.render(
        text=text,
        title=title,
        headline=said.sentence,
        mood=said.mood,
        lines=said.lines,
        warnings=warned,
        sections=shown,
        policy=_policy(scripts),
        refresh=refresh,
        style=Markup(_file("page.css")),
        scripts=[Markup(script) for script in scripts],
    )
    write_atomic(Path(path), str(page))


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingPackageError("jinja2", "report", "the report page") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("chidu.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data"] = script_data
    return environment.get_template("page.html.j2")


def script_data(text: str) -> Any:
    """Make JSON safe inside a script element: no text in it can end the element or open a comment."""
    from markupsafe import Markup

    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _policy(scripts: tuple[str, ...]) -> str:
    """Allow these very scripts and nothing else: text that slips through as markup could still not run or load."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    rules: Mapping[str, str] = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in digests),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _plotly_script() -> str:
    try:
        import plotly.offline
    except ImportError as error:
        raise MissingPackageError("plotly", "report", "the report page") from error
    # A carriage return would be read as a line feed by the browser, and the script would no longer match its hash.
    return str(plotly.offline.get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


def _file(name: str) -> str:
    return (importlib.resources.files("chidu.report") / "templates" / name).read_text(encoding="utf-8")
