"""What a model can do beyond its loss: small tasks, scored by how likely it holds the right answer.

tasks.py          items made from a seed, or from held-out text: a prompt, the right answer, wrong ones
pairs.py          minimal grammatical pairs, English and Chinese
scoring.py        a model's log-probability of the right answer among an item's
contamination.py  which items stand in the training text
"""

from __future__ import annotations

__all__: list[str] = []
