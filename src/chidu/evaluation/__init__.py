"""What a model can do beyond its loss, and why it says what it says.

tasks.py          items made from a seed, or from held-out text: a prompt, the right answer, wrong ones
pairs.py          minimal grammatical pairs, English and Chinese
scoring.py        a model's log-probability of the right answer among an item's
contamination.py  which items stand in the training text

white_box.py      a model that can be looked into: ours, or one of transformers
attribution.py    which tokens carried a token: integrated gradients, leaving one out
deletion.py       whether the named tokens matter more than random ones
lens.py           what each layer would have said
tracing.py        where an answer may come from in the training text
explanation.py    all of these for one answer
"""

from __future__ import annotations

__all__: list[str] = []
