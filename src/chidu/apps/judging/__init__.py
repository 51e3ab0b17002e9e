"""The applications judged on pairs, with models of any kind, beside plain baselines.

pairs.py     what they are judged on: a user's file, or the package's own few
metrics.py   the field's metrics, by its kept libraries
asking.py    what an application makes of each pair
size_law.py  the error against the model's size
judged.py    scores with intervals, verdicts, the table
"""

from chidu.apps.judging.judged import AppsJudged, Score, judge_apps
from chidu.apps.judging.pairs import APPS, Pairs, read_pairs

__all__ = ["APPS", "AppsJudged", "Pairs", "Score", "judge_apps", "read_pairs"]
