"""The page at `/`, and its files: plain modules of JavaScript, read from the package once, and what a browser may do
with them."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable

from fastapi import FastAPI
from starlette.responses import Response

from chidu.serving.settings import ServerSettings

__all__ = ["add_page"]

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *(f"{what} 'none'" for what in ("base-uri", "form-action", "frame-ancestors")),
        # No text becomes markup by any way, whoever wrote it: the browser holds the page to that.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Nothing from elsewhere, nothing inline, no frames."""


def add_page(app: FastAPI, settings: ServerSettings) -> None:
    """Add the page to an application. What is there is known now: no path of a request is looked for."""
    files = {
        each.name: each.read_bytes()
        for each in importlib.resources.files("chidu.serving").joinpath("static").iterdir()
        if each.name.rpartition(".")[2] in KINDS
    }
    most = str(settings.body_bytes).encode()
    files["index.html"] = files["index.html"].replace(b"{body_bytes}", most)
    for name, content in files.items():
        path = "/" if name == "index.html" else f"/static/{name}"
        app.add_api_route(path, _route(content, name), methods=["GET", "HEAD"], include_in_schema=False)


def _route(content: bytes, name: str) -> Callable[[], Response]:
    def route() -> Response:
        kind = KINDS[name.rpartition(".")[2]]
        return Response(content, media_type=kind, headers={"Content-Security-Policy": POLICY})

    return route
