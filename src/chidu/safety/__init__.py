"""Judges of text: text in, findings out; and what to do with a finding.

A room above that has a better judge (a trained classifier, a service) implements the `Judge` protocol and passes it in.
"""

from chidu.safety.email import EmailJudge
from chidu.safety.finding import Finding, Judge, redact

__all__ = ["EmailJudge", "Finding", "Judge", "redact"]
