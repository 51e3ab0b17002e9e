"""lm-evaluation-harness against our server: it must find what it finds when it runs the model by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chidu.inference.own import OwnEngine

Serve = Callable[..., str]

TASK = """
task: choices
dataset_path: json
dataset_kwargs:
  data_files: {rows}
  cache_dir: {cache}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{start}}}}"
doc_to_choice: "{{{{ends}}}}"
doc_to_target: "{{{{right}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""
PERPLEXITY = """
task: perplexity
dataset_path: json
dataset_kwargs:
  data_files: {rows}
  cache_dir: {cache}
test_split: train
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{start}}}}"
metric_list:
  - metric: word_perplexity
"""
WRITING = """
task: writing
dataset_path: json
dataset_kwargs:
  data_files: {rows}
  cache_dir: {cache}
test_split: train
output_type: generate_until
doc_to_text: "{{{{start}}}}"
doc_to_target: "x"
generation_kwargs:
  until: ["\\n\\n"]
  max_gen_toks: 8
  temperature: 0
  do_sample: false
metric_list:
  - metric: exact_match
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Any:
    """Three small tasks, of rows of this test."""
    from lm_eval.tasks import TaskManager

    rows = tmp_path / "rows.jsonl"
    starts = ["the work of", "a small model", "the end is", "it is said that", "one two"]
    ends = [" the same", " 的一", " many words", " it"]
    documents = [{"start": start, "ends": ends, "right": index % 4} for index, start in enumerate(starts)]
    rows.write_text("".join(json.dumps(each) + "\n" for each in documents))
    for name, text in (("choices", TASK), ("perplexity", PERPLEXITY), ("writing", WRITING)):
        (tmp_path / f"{name}.yaml").write_text(text.format(rows=rows, cache=tmp_path / "cache"))
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def shape(found: Any) -> Any:
    """What was answered, its numbers rounded: two ways of summing differ in the last digits.

    Half a character at the end of a text is shown by the harness and not by us."""
    if isinstance(found, list | tuple):
        return [shape(each) for each in found]
    return round(found, 2) if isinstance(found, float) else str(found).rstrip("\ufffd")


def test_the_harness_finds_the_same_through_us(
    serve: Serve, saved: Path, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    from lm_eval import simple_evaluate

    def evaluate(by: str, **how: Any) -> Any:
        return simple_evaluate(
            model=by,
            model_args={"max_length": 48, **how},
            tasks=["choices", "perplexity", "writing"],
            task_manager=tasks,
            log_samples=True,
            bootstrap_iters=0,
            batch_size=2 if by == "local-completions" else 1,
            verbosity="ERROR",
        )

    local = evaluate("hf", pretrained=str(saved), dtype="float32", device="cpu")
    address = serve(OwnEngine(saved))
    remote = evaluate(
        "local-completions", model=saved.name, base_url=f"{address}/v1/completions", tokenizer=str(saved), max_retries=1
    )
    for task in ("choices", "perplexity", "writing"):
        assert len(local["samples"][task]) == 5
        for one, other in zip(local["samples"][task], remote["samples"][task], strict=True):
            assert one["doc"] == other["doc"]
            assert shape(one["filtered_resps"]) == shape(other["filtered_resps"])
    for metric in ("acc,none", "acc_norm,none"):
        assert local["results"]["choices"][metric] == remote["results"]["choices"][metric]
    found = [each["results"]["perplexity"]["word_perplexity,none"] for each in (local, remote)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)
