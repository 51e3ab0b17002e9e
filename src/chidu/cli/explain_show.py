"""Reasons for an answer, in words that need no mathematics: the same with colour and without."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from chidu.cli.plain import plain
from chidu.evaluation.deletion import Margin
from chidu.evaluation.explanation import Explained, Explanation
from chidu.evaluation.lens import Guess
from chidu.evaluation.tracing import Origin
from chidu.units import count_of, format_bytes, format_level, percent, times

__all__ = ["shown"]

NAMED = 3
"""Tokens that are named of those that carried one."""
LEAST = 0.05
"""Nats: what is lost with a token that is named; 5% of the probability."""
MUCH = 0.2
"""Part of the whole that shares may miss before they are warned of."""
AROUND = 240
"""Characters of a text that are shown."""
SHADES = ("", "on #fff3c4", "on #ffdd80", "on #ffb84d", "on #f58a3c")
"""Backgrounds of tokens, by what they carried; the writing on them is black."""


def shown(found: Explanation, without_origin: str) -> Text:
    """Return all of an explanation; each part begins with its title."""
    text = Text()
    for part in (
        _head(found), _carried(found), _tested(found), _layers(found), _origin(found, without_origin), _limits(found)
    ):  # fmt: skip
        for line in part:
            text.append_text(line).append("\n")
    # As long as before, so that colours stay where they are.
    text.plain = plain(text.plain)
    return text


def _title(words: str, more: str = "") -> Text:
    return Text.assemble("\n", (words, "bold"), more)


def _head(found: Explanation) -> Iterator[Text]:
    prompt = Text.assemble((f"{found.model} goes on from: ", "bold"))
    carried = [sum(max(0.0, each.left_out[place]) for each in found.tokens) for place in range(found.prompt_tokens)]
    for text, share in zip(found.inputs, carried, strict=False):
        prompt.append(text, _shade(share, carried))
    yield prompt
    yield Text.assemble(("with: ", "bold"), found.answer)


def _carried(found: Explanation) -> Iterator[Text]:
    yield _title(
        "Which words carried it",
        "  (50×: without this word alone the token would have been 50 times less likely;\n"
        "  gradients: the words with the largest shares by integrated gradients)",
    )
    names = _names(found.inputs)
    for each, name in zip(found.tokens, names[found.prompt_tokens :], strict=True):
        yield _token(each, names, name)
    told = f"  The gradients' shares miss {percent(found.missed)} of what they should add up to"
    yield Text(told + (": here, go by leaving out." if found.missed > MUCH else "."))


def _token(each: Explained, names: Sequence[str], name: str) -> Text:
    strongest = [place for place in _highest(each.left_out) if each.left_out[place] >= LEAST]
    by_gradients = [place for place in _highest(each.gradients.shares) if each.gradients.shares[place] > 0]
    line = Text.assemble("  ", (name, "bold"), f" {percent(math.exp(each.log_probability))} likely: ")
    for place in strongest:
        if place != strongest[0]:
            line.append(", ")
        line.append(names[place], _shade(each.left_out[place], each.left_out))
        line.append(f" {times(math.exp(min(each.left_out[place], 300)))}")
    if not strongest:
        line.append("no word alone")
    line.append(". Gradients: " + (", ".join(names[place] for place in by_gradients) or "none"))
    return line


def _highest(shares: Sequence[float]) -> list[int]:
    return sorted(range(len(shares)), key=lambda place: -shares[place])[:NAMED]


def _shade(share: float, shares: Sequence[float]) -> str:
    """Return the background of a token that carried so much."""
    part = max(0.0, share) / max(*shares, LEAST)
    shade = SHADES[min(len(SHADES) - 1, math.ceil(part * (len(SHADES) - 1)))]
    return f"black {shade}" if shade else ""


def _tested(found: Explanation) -> Iterator[Text]:
    yield _title("Do these words matter more than others?")
    tested = [each.deletion[0] for each in found.tokens if each.deletion]
    if not tested or found.left_out is None or found.gradients is None:
        yield Text("  There are too few words to leave some out and keep others.")
        return
    counts = sorted({each.tokens for each in tested})
    many = count_of(counts[-1], "token") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} tokens"
    yield Text(f"  Each is weighed again without the {many} named first, and without as many at random:")
    yield Text(f"  by leaving out  {_margin(found.left_out)}")
    yield Text(f"  by gradients    {_margin(found.gradients)}")


def _margin(margin: Margin) -> str:
    words = {
        "better": "they matter more than random ones",
        "worse": "they matter LESS than random ones: don't trust them here",
        "undecided": "not told apart from random ones" if margin.low is not None else "too few tokens to be sure",
    }[margin.verdict]
    told = f"{_fall(margin.named)} without these, {_fall(margin.random)} without random ones: {words}"
    if margin.low is not None and margin.high is not None:
        told += (
            f" ({margin.difference:.2f} nats more, {format_level(margin.level)} interval {margin.low:.2f} to "
            f"{margin.high:.2f}, {count_of(margin.count, 'token')})"
        )
    return told


def _fall(nats: float) -> str:
    return f"{times(math.exp(min(abs(nats), 300)))} {'less' if nats >= 0 else 'more'} likely"


def _layers(found: Explanation) -> Iterator[Text]:
    yield _title("What each layer would have said")
    if found.without_layers:
        yield Text(f"  {found.without_layers}")
        return
    for each, name in zip(found.tokens, _names(found.inputs)[found.prompt_tokens :], strict=True):
        yield Text.assemble("  ", (name, "bold"), f" {_path(each)}")


def _path(each: Explained) -> str:
    """Say from which layer on the token is on top, and what was there before, half-way and late."""
    layers, last = each.layers, each.layers[-1].layer
    since = next((one.layer for one in _from_the_top(layers, each.token)), None)
    before = layers[: since if since is not None else len(layers)]
    told = [f"layer {one.layer}: {_quoted(one.text)}" for one in _some(before)]
    if since is None:
        told.append(f"in the end another token was on top; this one was number {layers[-1].rank:,}")
    else:
        told.append(f"from layer {since} of {last} on it is on top")
    return "; ".join(told)


def _from_the_top(layers: Sequence[Guess], token: int) -> list[Guess]:
    """Return the last layers, running, that have the token on top."""
    kept = list[Guess]()
    for one in reversed(layers):
        if one.token != token:
            break
        kept.insert(0, one)
    return kept


def _some(layers: Sequence[Guess]) -> list[Guess]:
    """Return the layers half-way and last of these, without the embedding, which says the token before."""
    inner = [one for one in layers if one.layer]
    return [inner[place] for place in sorted({(len(inner) - 1) // 2, len(inner) - 1})] if inner else []


def _origin(found: Explanation, without: str) -> Iterator[Text]:
    origin = found.origin
    if origin is None:
        yield _title("Where it may come from")
        yield Text(f"  Not looked for: {without}")
        return
    yield _title(
        "Where it may come from",
        f"  (training text of {origin.work}: {count_of(origin.documents, 'document')}, {format_bytes(origin.bytes)})",
    )
    if not origin.is_own:
        yield Text(
            f"  Nothing here says that {found.model} was trained on this text: what stands in both may be chance."
        )
    yield from _places(origin)


def _places(origin: Origin) -> Iterator[Text]:
    if not origin.spans:
        yield Text("  Word for word: nothing of 32 bytes or more that reaches into the answer.")
    for span in origin.spans:
        yield Text.assemble(
            f"  Word for word, {count_of(span.count, 'time').replace('1 time', 'once')}: ", (_cut(span.text), "italic")
        )
        named = dict.fromkeys(f"{place.source} ({place.licence})" for place in span.places)
        yield Text(f"    in {', '.join(named)}{' and others' if span.count > len(span.places) else ''}")
    for near in origin.near:
        yield Text.assemble(
            f"  Near, by {', '.join(near.words[:8])}: {near.place.source} ({near.place.licence}): ",
            (_cut(near.text), "italic"),
        )


def _limits(found: Explanation) -> Iterator[Text]:
    yield _title("What this can't tell")
    yield Text("  " + " ".join(found.limits.values()))


def _names(texts: Sequence[str]) -> list[str]:
    """Return what each token is called: its text, or the character that it is a part of, which stands with the last."""
    names, behind = list[str](), ""
    for text in reversed(texts):
        if text:
            names.append(_quoted(text))
        else:
            names.append(f"part of {_quoted(behind[0])}" if behind[:1] > "\x7f" else "part of no whole character")
        behind = text or behind
    return names[::-1]


def _quoted(text: str) -> str:
    return "‘" + text.replace("\n", "⏎") + "’"


def _cut(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= AROUND else one_line[: AROUND - 1] + "…"
