"""The guard at the server: prompts judged before they are read, answers while they are written; verdicts kept."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any

from anyio import CancelScope, to_thread
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, ConfigDict, Field

from chidu.errors import RecordError
from chidu.inference import Conversation, Engine, Piece, Prompt, Sampling, Token
from chidu.safety import Action, AuditRecord, Guard, Policy, Verdict
from chidu.safety.hazards import HAZARDS, PARENTS
from chidu.safety.policy import Side
from chidu.serving.answers import RequestError

__all__ = ["FILTERED", "Guarding", "ModerationAsked", "Told"]

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


@dataclass
class Told:
    """What the guard did about one request, to be told in its answer."""

    id: str
    """Of the request, in the record too."""
    actions: list[dict[str, Any]] = field(default_factory=list)
    """Of each text that was not simply let pass: its side, what was done, and the categories of what was found."""

    def add(self, verdict: Verdict, **where: str) -> None:
        """Keep a verdict, and in which document it was."""
        if verdict.action is not Action.ALLOW:
            said = {"side": verdict.side, "action": verdict.action.word, "categories": verdict.categories}
            self.actions.append(said | where)


class Guarding:
    """A guard, the record of its verdicts, and their count. Without a guard everything passes, and nothing is kept."""

    def __init__(
        self, engine: Engine, guard: Guard | None, record: AuditRecord | None, registry: CollectorRegistry
    ) -> None:
        self._engine, self.guard, self.record = engine, guard, record
        self._verdicts = Counter("chidu_verdicts", "Verdicts of the guard", ["side", "action"], registry=registry)
        self._found = Counter("chidu_findings", "Findings of the guard", ["side", "category"], registry=registry)
        # Moderation tells everything, whatever the policy does about it.
        self._telling = None if guard is None else Guard(Policy.flag_all(), judges=guard.judges)

    async def admitted(self, told: Told, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Return prompts as they may be read; the same one is judged once. Raises RequestError (400) where one may not.

        A prompt of tokens is judged by their text, which the engine tells by weighing them.
        """
        if self.guard is None:
            return list(prompts)
        known: list[tuple[Prompt, Prompt]] = []
        for prompt in prompts:
            if not any(prompt == each for each, _ in known):
                known.append((prompt, await self._admitted(told, prompt)))
        return [next(found for each, found in known if each == prompt) for prompt in prompts]

    async def _admitted(self, told: Told, prompt: Prompt) -> Prompt:
        if isinstance(prompt, str):
            return await self.text(told, prompt, "prompt")
        if isinstance(prompt, Conversation):
            turns = [replace(turn, content=await self.text(told, turn.content, "messages")) for turn in prompt.turns]
            return Conversation(tuple(turns))
        tokens = await to_thread.run_sync(self._engine.score, prompt)
        text = b"".join(token.data for token in tokens).decode("utf-8", "replace")
        found = await self.text(told, text, "prompt")
        return prompt if found == text else found

    async def text(self, told: Told, text: str, param: str) -> str:
        """Return a prompt's text as it may be read. Raises RequestError (400) where it may not."""
        if self.guard is None:
            return text
        verdict = await to_thread.run_sync(self.guard.judge, "prompt", text)
        await self._keep(told, verdict, text)
        if verdict.action is Action.REFUSE:
            what = ", ".join(verdict.categories) or "a judge failed"
            raise RequestError(
                400,
                f"the guard refuses this prompt ({what})",
                param=param,
                code="content_policy_violation",
                headers={"X-Request-Id": told.id},
            )
        return verdict.text

    async def passage(self, told: Told, text: str, document: str) -> str | None:
        """Return a document's text as it may be read; None where it may not be."""
        if self.guard is None:
            return text
        verdict = await to_thread.run_sync(self.guard.judge, "passage", text)
        await self._keep(told, verdict, text, document=document)
        return None if verdict.action is Action.REFUSE else verdict.text

    def passages(self, told: Told) -> Guard | None:
        """Return a guard for whoever judges passages in a thread; its verdicts are kept as all are."""
        return None if self.guard is None else _KeptGuard(self.guard, partial(self._keep_told, told))

    def _keep_told(self, told: Told, verdict: Verdict, text: str) -> None:
        self._keep_now(told, verdict, text)
        told.add(verdict)

    async def whole_answer(self, told: Told, text: str) -> str:
        """Return a finished answer as it may leave: of a refused one what stands before the reason."""
        if self.guard is None:
            return text
        verdict = await to_thread.run_sync(self.guard.judge, "answer", text)
        await self._keep(told, verdict, text)
        return verdict.text

    async def answer(
        self, told: Told, pieces: AsyncGenerator[Piece, None], sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of an answer as they may leave; a refused one ends with `content_filter`.

        The last piece leaves when the verdict is in the record. An answer that nobody reads to its end has its verdict
        of what was written by then. Tokens would tell what was taken out: where log-probabilities are asked for, the
        answer waits for its end, and a changed one has none.
        """
        async with contextlib.aclosing(pieces):
            if self.guard is None:
                async for piece in pieces:
                    yield piece
                return
            stream = self.guard.stream("answer")
            written: list[Piece] = []
            is_kept, tells_tokens = False, sampling.logprobs is not None
            try:
                async for piece in pieces:
                    written.append(piece)
                    # Not in a thread: it takes less time than to get one.
                    left = stream.feed(piece.text, is_last=piece.finish is not None)
                    verdict = stream.verdict
                    if verdict is None:
                        yield replace(piece, text="" if tells_tokens else left, drawn=())
                        continue
                    is_kept = True
                    await self._keep(told, verdict, _text_of(written))
                    yield replace(
                        piece,
                        text=verdict.text if tells_tokens else left,
                        finish=FILTERED if verdict.action is Action.REFUSE else piece.finish,
                        drawn=_drawn(written) if verdict.text == _text_of(written) else (),
                    )
                    return
            finally:
                if not is_kept and written:
                    stream.end()
                    if stream.verdict is not None:
                        self._keep_now(told, stream.verdict, _text_of(written))

    async def moderation(self, request: str, texts: Sequence[str], model: str) -> dict[str, Any]:
        """Return OpenAI's document of what is found in texts. Raises RequestError (404) without a guard."""
        if self._telling is None:
            raise RequestError(404, "this server has no guard: start it without --no-guard", code="no_guard")
        verdicts = [await to_thread.run_sync(self._telling.judge, "prompt", text) for text in texts]
        return {"id": request, "model": model, "results": [_result(verdict) for verdict in verdicts]}

    async def _keep(self, told: Told, verdict: Verdict, text: str, **where: str) -> None:
        # Who goes away now does not take the line with them.
        with CancelScope(shield=True):
            await to_thread.run_sync(self._keep_now, told, verdict, text)
        told.add(verdict, **where)

    def _keep_now(self, told: Told, verdict: Verdict, text: str) -> None:
        """Count a verdict, and write it down. Raises RequestError (503) where that can't be done."""
        self._verdicts.labels(verdict.side, verdict.action.word).inc()
        for finding in verdict.findings:
            self._found.labels(verdict.side, finding.category).inc()
        if self.record is None:
            return
        try:
            self.record.append(told.id, verdict, text)
        except RecordError as error:
            raise RequestError(
                503, "the record of verdicts can't be written, so nothing is served", code="record_failed"
            ) from error


class _KeptGuard(Guard):
    """A guard whose verdicts go into the record too."""

    def __init__(self, guard: Guard, keep: Callable[[Verdict, str], None]) -> None:
        super().__init__(guard.policy, judges=guard.judges)
        self._keep = keep

    def judge(self, side: Side, text: str) -> Verdict:
        """Judge a whole text, and keep the verdict."""
        verdict = super().judge(side, text)
        self._keep(verdict, text)
        return verdict


def _text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _drawn(pieces: Sequence[Piece]) -> tuple[Token, ...]:
    return tuple(token for piece in pieces for token in piece.drawn)


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
