"""The server around the application: what it listens with, and how it ends."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from chidu.serving.connection import connections_of
from chidu.serving.settings import ServerSettings

__all__ = ["make_server"]


def make_server(app: FastAPI, settings: ServerSettings) -> uvicorn.Server:
    """Return a server of what `make_app` made, whose `run` takes the sockets it listens at.

    When a signal asks it to end it takes no more, and what is being written has `grace_seconds` to come to its end.
    """
    config = uvicorn.Config(
        app,
        http=connections_of(settings, app.state.refused),
        ws="none",
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=round(settings.grace_seconds),
    )
    return uvicorn.Server(config)
