"""What a model can do beyond its loss, and why it says what it says.

tasks.py          items made from a seed, or from held-out text: a prompt, the right answer, wrong ones
pairs.py          minimal grammatical pairs, English and Chinese
scoring.py        a model's log-probability of the right answer among an item's
contamination.py  which items stand in the training text

likelihood.py     how likely a text is after another, by any engine
held_out_text.py  loss and bits per byte on a text
task_scores.py    the small tasks by any engine, beside chance
bias.py           what a model links with groups of people
resampling.py     intervals of what was measured on few items

white_box.py      a model that can be looked into: ours, or one of transformers
attribution.py    which tokens carried a token: integrated gradients, leaving one out
deletion.py       whether the named tokens matter more than random ones
lens.py           what each layer would have said
tracing.py        where an answer may come from in the training text
explanation.py    all of these for one answer
"""

from __future__ import annotations

__all__: list[str] = []
