"""The README of a model's folder: what it is, what it was made from, what it can't do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.record import read_json
from chidu.runs.run import Run
from chidu.units import bits_per_byte, format_bytes, format_level

if TYPE_CHECKING:
    from chidu.work.undertaking import Work

__all__ = ["model_card"]

MOST_LICENCES = 8
"""That are named."""


def model_card(work: Work, run: Run) -> str:
    """Return the README of the model's folder, which Hugging Face's hub reads too."""
    scored = Score.from_dict(read_json(work.folder / "score" / "score.json"))
    written = WrittenForecast.read(work.folder / "forecast" / "forecast.json")
    law = read_json(work.folder / "law" / "fit.json")
    data = work.records["corpus"].result
    largest = sorted(data["licences"].items(), key=lambda entry: -entry[1]["bytes"])
    licences = ", ".join(f"{name} ({format_bytes(entry['bytes'])})" for name, entry in largest[:MOST_LICENCES])
    others = len(largest) - MOST_LICENCES
    shape = run.config.shape
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "license: other",
        "license_name: those-of-the-text",
        "tags: [chidu, scaling-law]",
        "---",
        "",
        "# A language model trained by Chidu",
        "",
        f"{shape.params:,} params ({shape.layers} layers, width {shape.width}), trained on "
        f"{run.config.tokens:,} tokens of {format_bytes(data['bytes_kept'])} of text; context "
        f"{shape.context_length} tokens. Open it with `transformers.AutoModelForCausalLM.from_pretrained`.",
        "",
        f"- Held-out loss: {run.loss:.4f} nats per token, {bits_per_byte(run.loss, run.bytes_per_token):.4f} bits per",
        f"  byte, measured in {run.config.precision}.",
        f"- Forecast before training: {written.loss:.4f}, {format_level(written.level)} interval {written.low:.4f} to "
        f"{written.high:.4f}; error {scored.error_percent:+.2f}%.",
        f"- Law, fitted to {law['rows']} smaller runs: loss = `{law['formula']}` with {_values(law['parameters'])}.",
        f"- Data: {data['documents_kept']:,} documents kept; what was left out, and why, is counted in the data card.",
        f"- Licences of the text, by bytes: {licences}{f', and {others} more' if others > 0 else ''}.",
        "- Limits: a model of this size writes in the manner of its text and knows nothing. It was made to check a",
        "  forecast. Nobody has tried it for bias or harm; what it writes is not checked.",
        "",
    ]
    return "\n".join(lines)


def _values(parameters: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())
