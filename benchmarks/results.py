"""How a benchmark tells its rows: lines for people, and with --json one document at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["tell"]


def tell(rows: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    """Print each row as it comes: what, ours, theirs, unit, ratio, what is to be reached, and a note."""
    found = []
    for row in rows:
        found.append(row)
        more = "  ".join(str(row[name]) for name in ("rival", "reach", "note") if row.get(name))
        print(
            f"{row['what']:50} {row['ours']:10.4g} {row['theirs']:10.4g} {row['unit']}  × {row['ratio']}  ({more})",
            file=sys.stderr if as_json else sys.stdout,
            flush=True,
        )
    if as_json:
        print(json.dumps({"rows": found}, ensure_ascii=False))
