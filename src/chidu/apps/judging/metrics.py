"""The field's metrics, by its kept libraries: sacreBLEU, rouge-score, torchmetrics.

Neither ROUGE nor exact match and F1 know words in Chinese: rouge-score drops all that is not a-z and 0-9, and scores
any two Chinese texts 0. So Chinese (and other scripts written without blanks) is given to them character by
character, Latin words and numbers within it whole; English is stemmed for ROUGE, as rouge-score does it. BLEU cuts by
sacreBLEU's own rules: `zh` where the target is Chinese, `ja-mecab` is not used, `13a` elsewhere; chrF needs no words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from chidu.errors import MissingPackageError

__all__ = ["bleu", "character_tokens", "chrf", "exact_and_f1", "ranking_scores", "rouge_l"]

_DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_DENSE}]|[^\W_{_DENSE}]+")
_CHARACTER = re.compile(rf"[{_DENSE}]")
_PARTS = re.compile(rf"[{_DENSE}]|[^{_DENSE}]+")


def character_tokens(text: str) -> list[str]:
    """Return the words of a text in small letters; of scripts without blanks, the characters."""
    return [token.casefold() for token in _TOKEN.findall(text)]


def rouge_l(reference: str, said: str) -> float:
    """Return ROUGE-L (F), 0 to 1."""
    return float(_rouge().score(reference, said)["rougeL"].fmeasure)


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
        from rouge_score.tokenizers import DefaultTokenizer, Tokenizer
    except ImportError as error:
        raise _missing(error, "ROUGE") from error
    own = DefaultTokenizer(use_stemmer=True)

    class Characters(Tokenizer):  # type: ignore[misc]
        """Characters of scripts without blanks; what stands between them as rouge-score cuts and stems it."""

        def tokenize(self, text: str) -> list[str]:
            cut = ([part] if _CHARACTER.match(part) else own.tokenize(part) for part in _PARTS.findall(text))
            return [token for part in cut for token in part]

    return RougeScorer(["rougeL"], tokenizer=Characters())


def chrf(references: Sequence[str], said: Sequence[str]) -> float:
    """Return chrF of a whole set, 0 to 1."""
    return float(_sacrebleu().corpus_chrf(list(said), [list(references)]).score) / 100


def bleu(references: Sequence[str], said: Sequence[str], language: str) -> float:
    """Return BLEU of a whole set in one language, 0 to 1."""
    tokenize = "zh" if language == "zh" else "13a"
    return float(_sacrebleu().corpus_bleu(list(said), [list(references)], tokenize=tokenize).score) / 100


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise _missing(error, "chrF and BLEU") from error
    return sacrebleu


def exact_and_f1(answers: Sequence[str], said: str) -> tuple[float, float]:
    """Return exact match and F1 of an answer against those that are right, as SQuAD has them; 0 or 1, and 0 to 1.

    Where no answer is right, that nothing is said is; the caller gives it as an empty text.
    """
    if not answers or not said:
        is_right = float(not answers and not said)
        return is_right, is_right
    try:
        from torchmetrics.functional.text import squad
    except ImportError as error:
        raise _missing(error, "exact match and F1") from error
    apart = " ".join(character_tokens(said))
    told = [" ".join(character_tokens(each)) for each in answers]
    found = squad(
        [{"prediction_text": apart, "id": "1"}],
        [{"answers": {"answer_start": [0] * len(told), "text": told}, "id": "1"}],
    )
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100


def ranking_scores(ranked: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """Return hit@1, hit@5, the reciprocal rank and nDCG@10 of names in their order, each 0 to 1."""
    import torch

    try:
        from torchmetrics.functional.retrieval import (
            retrieval_hit_rate,
            retrieval_normalized_dcg,
            retrieval_reciprocal_rank,
        )
    except ImportError as error:
        raise _missing(error, "hit@k, MRR and nDCG") from error
    # Those that are right and were not found stand behind all others, beyond any cut.
    unfound = [name for name in right if name not in ranked]
    names = [*ranked, *(f"\0{place}" for place in range(10)), *unfound]
    scores = torch.arange(len(names), 0, -1, dtype=torch.float32)
    target = torch.tensor([name in right for name in names])
    found = [name in right for name in ranked]
    return {
        "mrr": float(retrieval_reciprocal_rank(scores, target)) if any(found) else 0.0,
        "hit_1": float(retrieval_hit_rate(scores, target, top_k=1)),
        "hit_5": float(retrieval_hit_rate(scores, target, top_k=5)),
        "ndcg_10": float(retrieval_normalized_dcg(scores, target, top_k=10)),
    }


def _missing(error: ImportError, what: str) -> MissingPackageError:
    return MissingPackageError((error.name or "").partition(".")[0], "evaluate", what)
