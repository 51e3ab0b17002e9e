"""What is judged: MLCommons' hazards by Llama Guard's names, and secrets and prompt injection beside them.

A finding's category is a hazard, or a finer word that belongs to one: an e-mail address is `email`, of `privacy`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HAZARDS", "PARENTS", "Hazard", "categories"]


@dataclass(frozen=True)
class Hazard:
    """One kind of harm."""

    name: str
    """As policies and records write it."""
    code: str
    """Llama Guard's, or none."""
    title: str
    is_ruled: bool
    """True where rules of ours find some of it; else only a judge that is passed in can."""


HAZARDS = {
    hazard.name: hazard
    for hazard in (
        Hazard("violent_crimes", "S1", "Violent crimes", True),
        Hazard("non_violent_crimes", "S2", "Non-violent crimes", True),
        Hazard("sex_related_crimes", "S3", "Sex-related crimes", False),
        Hazard("child_sexual_exploitation", "S4", "Child sexual exploitation", True),
        Hazard("defamation", "S5", "Defamation", False),
        Hazard("specialized_advice", "S6", "Specialized advice", False),
        Hazard("privacy", "S7", "Privacy", True),
        Hazard("intellectual_property", "S8", "Intellectual property", False),
        Hazard("indiscriminate_weapons", "S9", "Indiscriminate weapons", True),
        Hazard("hate", "S10", "Hate", True),
        Hazard("suicide_self_harm", "S11", "Suicide and self-harm", True),
        Hazard("sexual_content", "S12", "Sexual content", True),
        Hazard("elections", "S13", "Elections", False),
        Hazard("code_interpreter_abuse", "S14", "Code interpreter abuse", False),
        Hazard("secrets", "", "Secrets", True),
        Hazard("prompt_injection", "", "Prompt injection", True),
    )
}

PARENTS = {
    "email": "privacy",
    "phone": "privacy",
    "card": "privacy",
    "iban": "privacy",
    "id": "privacy",
    "passport": "privacy",
    "ip": "privacy",
    "private_key": "secrets",
    "token": "secrets",
    "password": "secrets",
}
"""Finer category → the hazard that it belongs to."""


def categories() -> list[str]:
    """Return every category by name: the hazards, then the finer ones."""
    return [*HAZARDS, *PARENTS]
