"""The guard: a policy applied to prompts, passages and answers, to whole texts and to texts that still grow.

    guard = Guard()
    verdict = guard.judge("prompt", "…")
    stream = guard.stream("answer")
    for piece in pieces:
        send(stream.feed(piece))
    send(stream.end())          # and stream.verdict says what came of it

A whole text is judged as a stream of one piece, so both come to the same, however a text is cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

from chidu.safety.credentials import CredentialJudge
from chidu.safety.email import EmailJudge
from chidu.safety.finding import BEHIND, Finding, Judge, StreamJudge, label
from chidu.safety.identifiers import IdentifierJudge
from chidu.safety.patterns import PhraseJudge, version_of
from chidu.safety.phrases import HAZARD_PHRASES, INJECTION_PHRASES
from chidu.safety.policy import Action, Policy, Side

__all__ = ["Guard", "Stream", "Verdict", "rule_judges"]

log = logging.getLogger(__name__)

LOOK_AFTER = 12
"""Characters, three tokens of English: a look takes a tenth of a millisecond of a core that the model wants."""


def rule_judges() -> list[Judge]:
    """Return the judges by rules. Raises MissingPackageError where the packages with the checksums lack."""
    return [
        EmailJudge(),
        IdentifierJudge(),
        CredentialJudge(),
        PhraseJudge(HAZARD_PHRASES, reports=True),
        PhraseJudge(INJECTION_PHRASES),
    ]


@dataclass(frozen=True)
class Verdict:
    """What came of a text."""

    side: Side
    action: Action
    """The severest of all; REFUSE where a judge failed and the policy says so."""
    findings: tuple[Finding, ...]
    """What the policy does not allow; of a refused text, up to what it was refused for."""
    text: str
    """What may pass on: redacted, and of a refused text what stands before the reason."""
    failures: tuple[str, ...] = ()
    """Judges that failed, by their names."""
    rules_version: str = ""
    policy_version: str = ""

    @property
    def categories(self) -> list[str]:
        """What was found, by category."""
        return sorted({finding.category for finding in self.findings})

    @property
    def rules(self) -> list[str]:
        """What found it."""
        return sorted({finding.rule for finding in self.findings})


@cache
def _rules() -> list[str]:
    """Return what the rules are made of: their source, and the versions of the packages with the checksums."""
    here = Path(__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in sorted(here.glob("*.py"))]
    return [*sources, version("python-stdnum"), version("phonenumbers")]


class Guard:
    """Judges texts by a policy.

    ``further`` are judges of rooms above, such as a classifier. One that has `open_from` (see `StreamJudge`) judges a
    stream as it grows; for any other the stream is held until its end, since only the whole text can be judged.
    A judge that raises an error has failed: that is told, and the policy's `failed_judge` is done.
    """

    def __init__(
        self, policy: Policy | None = None, *, further: Iterable[Judge] = (), judges: Sequence[Judge] | None = None
    ) -> None:
        self.policy = policy or Policy.built_in()
        self.judges = [*(rule_judges() if judges is None else judges), *further]

    @cached_property
    def rules_version(self) -> str:
        """A name that changes with the rules, and with the judges that are asked."""
        return version_of([*_rules(), *(f"{type(one).__name__} {getattr(one, 'version', '')}" for one in self.judges)])

    def judge(self, side: Side, text: str) -> Verdict:
        """Judge a whole text."""
        stream = self.stream(side)
        released = stream.feed(text, is_last=True)
        verdict = stream.verdict
        assert verdict is not None
        assert verdict.text == released
        return verdict

    def stream(self, side: Side = "answer") -> Stream:
        """Judge a text piece by piece."""
        return Stream(self, side)


class Stream:
    """A text that grows: pieces in, out what may pass on. After the end, or a refusal, `verdict` says what came of it.

    Held back is what a pattern has begun with and could go on with: of ordinary text the last word, which may become an
    address of e-mail, or a phrase that has begun (56 characters at the most). What can be longer:
    an address of e-mail (604 characters), a token (4,096), a private key (8,192), an address with a password (200) and
    a password that is set (190). Between two looks lie up to `LOOK_AFTER` characters, or an eighth of what is held
    back; a text's first ones are looked at as they come. Each character is looked at a bounded number of times.
    """

    def __init__(self, guard: Guard, side: Side) -> None:
        self.guard, self.side = guard, side
        self.verdict: Verdict | None = None
        self._window = ""
        self._new: list[str] = []
        # Positions in the whole text: where the window begins, what is final, what has left or was taken out.
        self._begin = self._final = self._out = 0
        self._size = 0
        self._look_at = 1
        self._asked = list(guard.judges)
        self._grows = all(hasattr(judge, "open_from") for judge in guard.judges)
        self._findings: list[Finding] = []
        self._failures: list[str] = []
        self._action = Action.ALLOW
        self._released: list[str] = []

    def feed(self, piece: str, *, is_last: bool = False) -> str:
        """Take a piece, and return what may pass on now; nothing after the end."""
        if self.verdict is not None:
            return ""
        self._new.append(piece)
        self._size += len(piece)
        if not is_last and (not self._grows or self._size < self._look_at):
            return ""
        before = len(self._released)
        self._look(is_last)
        return "".join(self._released[before:])

    def end(self) -> str:
        """Say that the text has ended, and return what may pass on still."""
        return self.feed("", is_last=True)

    def _look(self, is_last: bool) -> None:
        """Judge what is not final yet, and let pass what has become so."""
        self._window += "".join(self._new)
        self._new.clear()
        found = sorted(self._judged())
        if self._failures and self.guard.policy.failed_judge is Action.REFUSE:
            self._close(Action.REFUSE)
            return
        until = self._size if is_last else max(self._final, self._open_from())
        for finding in found:
            if self._final <= finding.start < until and not self._pass(finding):
                self._close(Action.REFUSE)
                return
        self._release(until)
        self._final = until
        if is_last:
            self._close(self._action)
            return
        kept = self._size - until
        self._look_at = self._size + max(1, kept // 8, min(LOOK_AFTER - kept // 8, self._size // 16))
        begin = max(self._begin, until - BEHIND)
        self._window, self._begin = self._window[begin - self._begin :], begin

    def _judged(self) -> Iterator[Finding]:
        """Yield what the judges find in the window, by its place in the whole text."""
        for judge in tuple(self._asked):
            try:
                found = judge.judge(self._window)
                if not all(0 <= one.start < one.end <= len(self._window) for one in found):
                    raise ValueError("a finding outside of the text")
            except Exception as error:
                # Whatever it is: a judge is somebody else's, and its end must not be the guard's.
                log.exception("the judge %s failed", name := _name(judge))
                self._asked.remove(judge)
                self._failures.append(f"{name}: {type(error).__name__}")
                continue
            for one in found:
                yield Finding(one.start + self._begin, one.end + self._begin, one.category, one.rule)

    def _open_from(self) -> int:
        since = self._final - self._begin
        places = [judge.open_from(self._window, since) for judge in self._asked if isinstance(judge, StreamJudge)]
        return self._begin + min(places, default=len(self._window))

    def _pass(self, finding: Finding) -> bool:
        """Do what the policy says of a finding; False where the text ends here."""
        action = self.guard.policy.action(self.side, finding.category)
        if action is Action.ALLOW:
            return True
        self._findings.append(finding)
        self._action = max(self._action, action)
        if action is Action.FLAG:
            return True
        is_new = finding.start >= self._out
        self._release(finding.start)
        if action is Action.REFUSE:
            return False
        # Where findings overlap, the first names the stretch, and all of both is removed, as in `redact`.
        if is_new:
            self._released.append(label(finding))
        self._out = max(self._out, finding.end)
        return True

    def _release(self, until: int) -> None:
        """Let pass what stands before this place and has not passed yet."""
        if until > self._out:
            self._released.append(self._window[self._out - self._begin : until - self._begin])
            self._out = until

    def _close(self, action: Action) -> None:
        if self._failures:
            action = max(action, self.guard.policy.failed_judge)
        self.verdict = Verdict(
            self.side,
            action,
            tuple(self._findings),
            "".join(self._released),
            tuple(self._failures),
            self.guard.rules_version,
            self.guard.policy.version,
        )


def _name(judge: Judge) -> str:
    return str(getattr(judge, "name", type(judge).__name__))
