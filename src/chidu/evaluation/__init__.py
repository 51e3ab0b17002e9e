"""What a model is good for, and why it says what it says.

white_box.py    a model that can be looked into: ours, or one of transformers
attribution.py  which tokens carried a token: integrated gradients, leaving one out
deletion.py     whether the named tokens matter more than random ones
lens.py         what each layer would have said
tracing.py      where an answer may come from in the training text
explanation.py  all of these for one answer
"""

from chidu.evaluation.explanation import Explanation, explain
from chidu.evaluation.tracing import CorpusTrace
from chidu.evaluation.white_box import WhiteBox, open_white_box, white_box

__all__ = ["CorpusTrace", "Explanation", "WhiteBox", "explain", "open_white_box", "white_box"]
