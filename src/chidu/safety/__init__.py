"""Judges of text: text in, findings out; what to do with a finding; and what is kept of it.

finding.py      a finding, the protocols of judges, redaction
email.py        addresses of e-mail
identifiers.py  phones, cards, IBANs, identity numbers, by checksums
credentials.py  keys, tokens, passwords
patterns.py     what rules of phrases share
phrases.py      the phrases: harm, and prompt injection
hazards.py      the categories
policy.py       category → allow, flag, redact, refuse; policy.toml is the built-in one
guard.py        a policy applied, to whole texts and to streams
audit.py        the record of verdicts: a chain of lines

A room above that has a better judge (a trained classifier, a service) implements the `Judge` protocol and passes it in.
"""

from chidu.safety.audit import AuditRecord
from chidu.safety.email import EmailJudge
from chidu.safety.finding import Finding, Judge, StreamJudge, redact
from chidu.safety.guard import Guard, Stream, Verdict
from chidu.safety.policy import Action, Policy, read_policy

__all__ = [
    "Action",
    "AuditRecord",
    "EmailJudge",
    "Finding",
    "Guard",
    "Judge",
    "Policy",
    "Stream",
    "StreamJudge",
    "Verdict",
    "read_policy",
    "redact",
]
