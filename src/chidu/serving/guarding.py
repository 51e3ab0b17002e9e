"""The guard at the server: prompts judged before they are read, answers while they are written; verdicts kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from anyio import CancelScope, to_thread
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, ConfigDict, Field

from chidu.errors import RecordError
from chidu.inference import Message, Piece
from chidu.safety import Action, AuditRecord, Guard, Policy, Verdict
from chidu.safety.hazards import HAZARDS, PARENTS
from chidu.serving.answers import RequestError

__all__ = ["FILTERED", "Guarding", "ModerationAsked"]

FILTERED = "content_filter"
"""Why a text ended that was refused."""
MOST_INPUTS = 64

Text = Annotated[str, Field(max_length=1_000_000)]


class ModerationAsked(BaseModel):
    """POST /v1/moderations."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    model: str | None = None

    @property
    def texts(self) -> list[str]:
        """What is to be judged."""
        return [self.input] if isinstance(self.input, str) else self.input


class Guarding:
    """A guard, the record of its verdicts, and their count. Without a guard everything passes, and nothing is kept."""

    def __init__(self, guard: Guard | None, record: AuditRecord | None, registry: CollectorRegistry) -> None:
        self.guard, self.record = guard, record
        self._verdicts = Counter("chidu_verdicts", "Verdicts of the guard", ["side", "action"], registry=registry)
        self._found = Counter("chidu_findings", "Findings of the guard", ["side", "category"], registry=registry)
        # Moderation tells everything, whatever the policy does about it.
        self._telling = None if guard is None else Guard(Policy.flag_all(), judges=guard.judges)

    async def prompt(self, request: str, text: str, param: str) -> str:
        """Return a prompt as it may be read. Raises RequestError (400) where it may not."""
        if self.guard is None:
            return text
        verdict = await to_thread.run_sync(self.guard.judge, "prompt", text)
        await self._keep(request, verdict, text)
        if verdict.action is Action.REFUSE:
            what = ", ".join(verdict.categories) or "a judge failed"
            raise RequestError(
                400,
                f"the guard refuses this prompt ({what})",
                param=param,
                code="content_policy_violation",
                headers={"X-Request-Id": request},
            )
        return verdict.text

    async def conversation(self, request: str, turns: Sequence[Message]) -> list[Message]:
        """Return the turns as they may be read; each is judged by itself. Raises RequestError (400)."""
        return [replace(turn, content=await self.prompt(request, turn.content, "messages")) for turn in turns]

    async def answer(self, request: str, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of an answer as they may leave; a refused one ends with `content_filter`.

        The last piece leaves when the verdict is in the record. An answer that nobody reads to its end has its verdict
        of what was written by then.
        """
        if self.guard is None:
            async for piece in pieces:
                yield piece
            return
        stream, written = self.guard.stream("answer"), []
        is_kept = False
        try:
            async for piece in pieces:
                written.append(piece.text)
                is_last = piece.finish is not None
                # Not in a thread: it takes less time than to get one.
                left = stream.feed(piece.text, is_last=is_last)
                verdict = stream.verdict
                if verdict is None:
                    yield replace(piece, text=left)
                    continue
                is_kept = True
                await self._keep(request, verdict, "".join(written))
                is_refused = verdict.action is Action.REFUSE
                yield replace(piece, text=left, finish=FILTERED if is_refused else piece.finish)
                if is_refused or is_last:
                    return
        finally:
            if not is_kept and written:
                stream.end()
                if stream.verdict is not None:
                    self._keep_now(request, stream.verdict, "".join(written))

    async def moderation(self, request: str, texts: Sequence[str], model: str) -> dict[str, Any]:
        """Return OpenAI's document of what is found in texts. Raises RequestError (404) without a guard."""
        if self._telling is None:
            raise RequestError(404, "this server has no guard: start it without --no-guard", code="no_guard")
        verdicts = [await to_thread.run_sync(self._telling.judge, "prompt", text) for text in texts]
        return {"id": request, "model": model, "results": [_result(verdict) for verdict in verdicts]}

    async def _keep(self, request: str, verdict: Verdict, text: str) -> None:
        # Who goes away now does not take the line with them.
        with CancelScope(shield=True):
            await to_thread.run_sync(self._keep_now, request, verdict, text)

    def _keep_now(self, request: str, verdict: Verdict, text: str) -> None:
        """Count a verdict, and write it down. Raises RequestError (503) where that can't be done."""
        self._verdicts.labels(verdict.side, verdict.action.word).inc()
        for finding in verdict.findings:
            self._found.labels(verdict.side, finding.category).inc()
        if self.record is None:
            return
        try:
            self.record.append(request, verdict, text)
        except RecordError as error:
            raise RequestError(
                503, "the record of verdicts can't be written, so nothing is served", code="record_failed"
            ) from error


def _result(verdict: Verdict) -> dict[str, Any]:
    """Return one text's result: our categories, the finer ones as `privacy/email`; a rule's score is 1 or 0."""
    found = set(verdict.categories)
    found |= {PARENTS[name] for name in found if name in PARENTS}
    names = {name: name for name in HAZARDS} | {name: f"{parent}/{name}" for name, parent in PARENTS.items()}
    names |= {name: name for name in found if name not in names}
    flags = {shown: name in found for name, shown in sorted(names.items(), key=lambda pair: pair[1])}
    scores = {shown: float(is_found) for shown, is_found in flags.items()}
    is_unsure = bool(verdict.failures)
    return {"flagged": bool(found) or is_unsure, "categories": flags, "category_scores": scores}
