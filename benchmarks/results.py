"""How a benchmark tells its rows: lines for people, and with --json one document at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["row", "tell"]


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


def row(
    what: str, mine: float, theirs: float, ratio: float, reach: str, unit: str, note: str, rival: str = "nanoGPT"
) -> dict[str, Any]:
    """One line of the result; a ratio above 1 is better than the rival, unless it says otherwise."""
    return {
        "what": what,
        "ours": round(mine, 3),
        "rival": rival,
        "theirs": round(theirs, 3),
        "ratio": round(ratio, 3),
        "reach": reach,
        "unit": unit,
        "note": note,
    }
