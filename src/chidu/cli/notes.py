"""What was recognised, inferred or left out in a table: told on stderr, apart from the answer."""

from __future__ import annotations

import typer

__all__ = ["tell"]


def tell(note: str) -> None:
    """Tell one note."""
    typer.echo(f"note: {note}", err=True)
