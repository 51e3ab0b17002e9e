"""A translation model from pairs of sentences: the stages of `chidu train --pairs`, in a work folder's `translation/`.

    pairs → tokens → design → target → model

Each leaves a folder with its record, and is not made again where nothing changed; see `chidu.runs.stage`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chidu.corpus import LANGUAGES, build_pairs, pair_files
from chidu.errors import SettingError
from chidu.runs.live import LiveWarning, RunEvent, Steps
from chidu.runs.record import Record, file_digest, fingerprint, read_json, write_json
from chidu.runs.run import Run
from chidu.runs.stage import run_stage
from chidu.units import count_of, format_bytes, format_count, format_seconds
from chidu.work.undertaking import Voice

__all__ = ["FOLDER", "PairSettings", "train_translation"]

FOLDER = "translation"
CONTEXT = 256
"""Tokens that a sentence and its translation may have together, two marks included."""
BYTES_A_TOKEN = 160
"""Of text for each token of the vocabulary, at the least: rarer ones are hardly learned."""
VOCABULARIES = (320, 8192)
"""The smallest and the largest."""
OTHER_SECONDS = 20.0
"""What packing, timing and saving take, about."""
MANY_EPOCHS = 30


@dataclass(frozen=True)
class PairSettings:
    """What a translation model is made from. Raises SettingError where a number is out of range."""

    pairs: tuple[str, ...]
    """Files and folders of pairs."""
    minutes: float = 10.0
    """Wall time of the training, 0.1 to 600."""
    params: int | None = None
    """Params of the model, about; None: as many as the time is enough for."""
    vocabulary: int | None = None
    """Tokens in the vocabulary; None: up to 8,192, by the text."""
    seed: int = 0
    """Seeds the split, the weights and the order of the data."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.minutes <= 600:
            raise SettingError(f"minutes is {self.minutes:g}; it must be from 0.1 to 600")
        if self.params is not None and not 50_000 <= self.params <= 1_000_000_000:
            raise SettingError(f"params is {self.params:,}; it must be from 50,000 to 1,000,000,000")
        if self.vocabulary is not None and not VOCABULARIES[0] <= self.vocabulary <= 65_536:
            raise SettingError(f"vocabulary is {self.vocabulary:,}; it must be from {VOCABULARIES[0]} to 65,536")


@dataclass
class _Undertaking:
    """The stages done so far."""

    folder: Path
    settings: PairSettings
    voice: Voice
    records: dict[str, Record] = field(default_factory=dict)

    def stage(
        self, name: str, told: dict[str, Any], inputs: dict[str, str], make: Callable[[Path], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Run one stage, keep its record, return its summary."""
        outcome = run_stage(self.folder / name, told, inputs, make, self.voice.say)
        self.records[name] = outcome.record
        if outcome.how != "skipped":
            self.voice.progress(name, 1.0, "", None)
            self.voice.say(f"{name}: done in {format_seconds(outcome.record.seconds)}")
        return outcome.record.result

    def made_from(self, *names: str) -> dict[str, str]:
        """Return the fingerprints of what these stages made."""
        return {name: self.records[name].content for name in names}


def train_translation(folder: Path, settings: PairSettings, voice: Voice) -> dict[str, Any]:
    """Teach a small model to translate both ways between the languages of the pairs; return what came of it.

    What is made already is not made again; training that was cut goes on. Returns model (its folder), languages, pairs,
    held_out, params, tokens, loss, and dropped. Raises TextError where the pairs are no good, StoppedError, all being
    saved, where training was asked to stop.
    """
    work = _Undertaking(folder / FOLDER, settings, voice)
    found = _pairs(work)
    packed = _tokens(work)
    run = _target(work, _design(work, packed), packed)
    _model(work, run)
    return {
        "model": str((work.folder / "model").resolve()),
        "languages": found["languages"],
        "pairs": packed["train"]["pairs"],
        "held_out": packed["held_out"]["pairs"],
        "params": run.config.shape.params,
        "tokens": run.config.tokens,
        "epochs": round(run.config.tokens / run.unique_tokens, 2),
        "loss": run.loss,
        "loss_standard_error": run.loss_standard_error,
        "seconds": run.seconds,
        "dropped": found["dropped"],
    }


def _pairs(work: _Undertaking) -> dict[str, Any]:
    paths, seed = work.settings.pairs, work.settings.seed
    source = fingerprint([(path.name, file_digest(path)) for path in pair_files(paths)])

    def make(folder: Path) -> dict[str, Any]:
        tell = _teller(work.voice, "pairs")
        return build_pairs(paths, folder, seed, tell)

    found = work.stage("pairs", {"seed": seed}, {"pairs": source}, make)
    first, second = (LANGUAGES[code] for code in found["languages"])
    reasons = sorted(found["dropped"].items(), key=lambda entry: -entry[1])
    work.voice.say(
        f"pairs: {found['pairs']:,} of {first} and {second} to train on, {found['held_out']:,} held out, "
        f"{format_bytes(found['bytes'])}; left out {sum(found['dropped'].values()):,}"
        + (f" ({'; '.join(f'{reason}: {count:,}' for reason, count in reasons)})" if reasons else "")
    )
    return found


def _tokens(work: _Undertaking) -> dict[str, Any]:
    from chidu.tokens import direction, pack_pairs, train_tokenizer

    made = work.records["pairs"]
    languages = tuple(made.result["languages"])
    words = work.settings.vocabulary or _vocabulary(made.result["bytes"])

    def make(folder: Path) -> dict[str, Any]:
        tell = _teller(work.voice, "tokens")
        tell(0.0, "learning the vocabulary")
        tokenizer, texts = folder / "tokenizer.json", work.folder / "pairs"
        special = [direction(each) for each in languages]
        train_tokenizer(texts / "train.jsonl", tokenizer, words, fields=languages, special=special)
        packed = {}
        for part in ("train", "held_out"):
            tell(0.5, f"packing {part}")
            packed[part] = pack_pairs(tokenizer, texts / f"{part}.jsonl", folder / f"{part}.npy", languages, CONTEXT)
        return packed

    found = work.stage("tokens", {"vocabulary": words, "context_length": CONTEXT}, work.made_from("pairs"), make)
    train = found["train"]
    work.voice.say(
        f"tokens: {format_count(train['tokens'])} to read, {format_count(train['learned'])} of them to learn, "
        f"vocabulary {words:,}; {count_of(train['too_long'], 'pair')} too long for {CONTEXT} tokens"
    )
    return found


def _vocabulary(size: int) -> int:
    smallest, largest = VOCABULARIES
    return min(largest, max(smallest, size // BYTES_A_TOKEN // 64 * 64))


def _design(work: _Undertaking, packed: Mapping[str, Any]) -> Any:
    from chidu.training.pairs import PairDesign, design_pairs, pair_recipe

    settings = work.settings
    words = work.records["tokens"].settings["vocabulary"]

    def make(folder: Path) -> dict[str, Any]:
        work.voice.progress("design", 0.0, "timing a few steps", None)
        recipe = pair_recipe(words, CONTEXT)
        design = design_pairs(recipe, settings.minutes * 60, settings.params, settings.seed)
        write_json(folder / "design.json", design.as_dict())
        return {"params": design.config.shape.params, "steps": design.config.steps}

    told = {"minutes": settings.minutes, "params": settings.params, "seed": settings.seed}
    work.stage("design", told, work.made_from("tokens"), make)
    design = PairDesign.from_dict(read_json(work.folder / "design" / "design.json"))
    shape, epochs = design.config.shape, design.config.tokens / packed["train"]["tokens"]
    work.voice.say(
        f"design: {shape.params:,} params ({shape.layers} layers, width {shape.width}), {design.config.steps:,} steps "
        f"of {design.config.batch_tokens:,} tokens, {epochs:.1f} epochs, about {format_seconds(design.seconds)}"
    )
    if epochs > MANY_EPOCHS:
        work.voice.say(f"design: {epochs:.0f} times through the same pairs: more pairs would teach more than more time")
    return design


def _target(work: _Undertaking, design: Any, packed: dict[str, Any]) -> Run:
    from chidu.training.pairs import train_pairs

    def make(folder: Path) -> dict[str, Any]:
        steps = design.config.steps

        def on_event(event: RunEvent) -> None:
            if isinstance(event, LiveWarning):
                work.voice.say(f"warning: {event.text}")
            elif isinstance(event, Steps):
                loss = "" if event.loss is None else f"loss {event.loss:.3f}"
                work.voice.progress("target", event.step / steps, loss, design.seconds)

        run = train_pairs(design, FOLDER, work.folder / "tokens", packed, folder, on_event)
        return {"loss": run.loss, "loss_standard_error": run.loss_standard_error, "seconds": run.seconds}

    found = work.stage("target", {}, work.made_from("tokens", "design"), make)
    work.voice.say(
        f"target: held-out loss {found['loss']:.4f} ± {found['loss_standard_error']:.4f} nats per token of the target"
    )
    return Run.from_dict(read_json(work.folder / "target" / "run.json"))


def _model(work: _Undertaking, run: Run) -> None:
    def make(folder: Path) -> dict[str, Any]:
        from chidu.inference import TranslationForm
        from chidu.model.check import logit_difference
        from chidu.model.conversion import save_model
        from chidu.training.loop import trained_model
        from chidu.training.target import WEIGHTS

        _teller(work.voice, "model")(0.0, "saving")
        network = trained_model(run.config, work.folder / "target" / WEIGHTS)
        save_model(folder, network, work.folder / "tokens" / "tokenizer.json", _card(work, run))
        TranslationForm(tuple(work.records["pairs"].result["languages"])).write(folder)
        return {"logit_difference": logit_difference(folder, network)}

    found = work.stage("model", {}, work.made_from("target", "tokens", "pairs"), make)
    work.voice.say(
        f"model: {work.folder / 'model'} (transformers opens it; logits differ by {found['logit_difference']:.1e})"
    )


def _card(work: _Undertaking, run: Run) -> str:
    """Return the README of the model's folder."""
    pairs, shape = work.records["pairs"].result, run.config.shape
    first, second = (LANGUAGES[code] for code in pairs["languages"])
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: translation",
        f"language: [{', '.join(pairs['languages'])}]",
        "license: other",
        "license_name: those-of-the-pairs",
        "tags: [chidu]",
        "---",
        "",
        f"# A model that translates between {first} and {second}, trained by Chidu",
        "",
        f"{shape.params:,} params ({shape.layers} layers, width {shape.width}), trained on {run.config.tokens:,} "
        f"tokens of {pairs['pairs']:,} pairs of sentences, both ways. `chidu translate --model FOLDER --to CODE FILE`.",
        "",
        f"- Form: end of text, source, {' or '.join(f'`<|to-{code}|>`' for code in pairs['languages'])}, translation, "
        "end of text; a causal model, of which the loss was taken on the translation alone.",
        f"- Held-out loss: {run.loss:.4f} ± {run.loss_standard_error:.4f} nats per token of the translation, on "
        f"{pairs['held_out']:,} pairs.",
        "- Licences: those of the pairs, which their owner knows; they are not recorded here.",
        "- Limits: it knows the words and the manner of its pairs and no others, one sentence at a time. What it",
        "  writes is not checked by anybody.",
        "",
    ]
    return "\n".join(lines)


def _teller(voice: Voice, stage: str) -> Callable[[float, str], None]:
    return lambda fraction, words: voice.progress(stage, fraction, words, None)
