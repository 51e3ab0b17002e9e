"""Each stage: what it is told, what it is made from, what it makes, and what it says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import ForecastError
from chidu.parallel import cores
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.ladder import Ladder
from chidu.runs.live import RunEvent, Steps
from chidu.runs.record import Record, file_digest, fingerprint, now, read_json, write_atomic, write_json
from chidu.runs.run import Run
from chidu.runs.settings import Settings
from chidu.runs.stage import making
from chidu.units import count_of, format_bytes, format_count, format_level
from chidu.work.card import model_card
from chidu.work.estimate import AFTER_SECONDS, TYPICAL_SECONDS, choose_design, describe_design
from chidu.work.judging import TargetJudge, peers
from chidu.work.results import LADDER_TABLE, read_fit, read_run, rung_runs, write_work_report
from chidu.work.undertaking import OBJECTIVE, RESAMPLES, StepTeller, Voice, Work

if TYPE_CHECKING:
    from chidu.laws import Fit
    from chidu.training.foretold import Foretold
    from chidu.training.rungs import Rung

__all__ = ["STAGES"]

PROMPT = "Returns the"
CHINESE_PROMPT = "使用"


def collect(work: Work) -> None:
    """Take a snapshot of the documentation of the installed packages; the user's own text is read where it lies."""
    from chidu.corpus import installed_documentation
    from chidu.corpus.snapshot import write_snapshot

    if work.settings.text:
        return
    if work.recollect:
        shutil.rmtree(work.folder / "collect", ignore_errors=True)
        work.recollect = False

    def make(folder: Path) -> dict[str, Any]:
        found = installed_documentation(workers=cores(), progress=work.teller("collect"))
        return {"documents": write_snapshot(found, folder / "documents.jsonl")}

    work.stage("collect", {}, make)


def corpus(work: Work) -> None:
    """Clean, deduplicate, redact and split the text."""
    from chidu.corpus import build_corpus, fingerprint_paths, text_files
    from chidu.corpus.snapshot import read_snapshot

    paths = work.settings.text
    source = fingerprint_paths(paths) if paths else work.records["collect"].content

    def make(folder: Path) -> dict[str, Any]:
        tell = work.teller("corpus")
        documents = (
            text_files(paths, progress=tell) if paths else read_snapshot(work.folder / "collect/documents.jsonl")
        )
        tell(0.0, "reading")
        return build_corpus(documents, folder, seed=work.settings.seed)

    record = work.stage("corpus", {"text": source}, make)
    kept = record.result
    work.voice.say(
        f"corpus: {count_of(kept['documents_kept'], 'document')}, {format_bytes(kept['bytes_kept'])}; "
        f"dropped {kept['documents_dropped']:,}; redacted {sum(kept['redactions'].values()):,}"
    )
    if "not_utf8" in kept:
        other = kept["not_utf8"]
        work.voice.say(
            f"corpus: {count_of(other['files'], 'file')} left out as not UTF-8, the first {other['first']}: convert "
            "to UTF-8 (Chinese: iconv -f GB18030 -t UTF-8) and run again, or go on without"
        )


def tokens(work: Work) -> None:
    """Learn the tokenizer from the training text, and pack both texts."""
    from chidu.tokens import pack, train_tokenizer

    texts, made = work.folder / "corpus", work.records["corpus"].outputs

    def make(folder: Path) -> dict[str, Any]:
        tell = work.teller("tokens")
        tell(0.0, "learning the vocabulary")
        tokenizer = folder / "tokenizer.json"
        train_tokenizer(texts / "train.jsonl", tokenizer, work.settings.words)
        packed = {
            name: pack(tokenizer, texts / f"{name}.jsonl", folder / f"{name}.bin", cores(), tell)
            for name in ("train", "held_out")
        }
        return {name: {key: values[key] for key in ("tokens", "bytes_per_token")} for name, values in packed.items()}

    inputs = {name: made[f"{name}.jsonl"]["sha256"] for name in ("train", "held_out")}
    found = work.stage("tokens", inputs, make).result
    work.voice.say(
        f"tokens: {format_count(found['train']['tokens'])} to train on, "
        f"{format_count(found['held_out']['tokens'])} held out, "
        f"{found['held_out']['bytes_per_token']:.2f} bytes a token"
    )


def design(work: Work) -> None:
    """Probe the place where the ladder trains once, and choose every length by what it can do in the minutes given."""
    from chidu.training.design import Budget

    settings = work.settings
    spent = sum(work.records[name].seconds for name in ("collect", "corpus", "tokens") if name in work.records)

    def make(folder: Path) -> dict[str, Any]:
        left = settings.minutes * 60 - spent - AFTER_SECONDS - sum(TYPICAL_SECONDS[name] for name in ("design", "law"))
        tokens = work.records["tokens"].result
        held_out = min(settings.held_out_tokens, tokens["held_out"]["tokens"])
        budget = Budget(left, work.place.cores, tokens["train"]["tokens"], settings.leap, held_out)
        work.teller("design")(0.0, "timing a few steps of each size")
        chosen = choose_design(settings, budget, work.place, work.kept_runs.configs())
        write_json(folder / "design.json", chosen.as_dict())
        return {"rungs": len(chosen.rungs), "seconds_available": left}

    made = work.records["tokens"].outputs
    work.stage("design", {"train": made["train.bin"]["sha256"]}, make)
    describe_design(work.design, settings, work.voice.say)


def ladder(work: Work) -> None:
    """Train the rungs that are not there yet, and that the law must see; leave the table of runs."""
    from chidu.training.rungs import TRUNK, train_ladder

    chosen = work.design

    def make(folder: Path) -> dict[str, Any]:
        work.live.begin(
            dict.fromkeys(name for rung in chosen.rungs for name in (rung.group, rung.name)), making(folder)
        )
        taken = take_kept(work, folder, chosen.rungs)
        steps = StepTeller(work, "ladder", chosen)
        try:
            runs, foretold = train_needed(
                work, chosen.rungs, taken, lambda rungs: train_ladder(rungs, work.text, folder, steps, work.place)
            )
        finally:
            work.kept_runs.keep(folder, chosen.rungs)
        Ladder.from_runs(runs).write(folder / LADDER_TABLE)
        for trunk in folder.glob(f"*{TRUNK}"):
            shutil.rmtree(trunk)
        return ladder_result(chosen.rungs, runs, taken, foretold)

    tell_spared(work.stage("ladder", design_inputs(work), make).result, work.voice)


def take_kept(work: Work, folder: Path, rungs: Sequence[Rung]) -> list[str]:
    """Put what was trained before into the ladder's folder; return the names: those of the first time, if resumed."""
    path = folder / "taken.json"
    if not path.exists():
        write_json(path, work.kept_runs.hand_over(folder, rungs))
    return list(read_json(path))


def train_needed(
    work: Work, rungs: Sequence[Rung], taken: Sequence[str], train: Callable[[Sequence[Rung]], list[Run]]
) -> tuple[list[Run], list[Foretold]]:
    """Train all rungs, or where the settings say so only those that the law of the others does not foretell."""
    from chidu.training.foretold import train_unknown

    if not work.settings.skip_within:
        return train(rungs), []

    def fit_law(table: Ladder, with_intervals: bool) -> Fit:
        return fit_table(work.settings, table, RESAMPLES if with_intervals else 0)

    made = train([rung for rung in rungs if rung.name in taken])
    return train_unknown(rungs, work.settings.skip_within, train, fit_law, made)


def ladder_result(
    rungs: Sequence[Rung], runs: Sequence[Run], taken: Sequence[str], foretold: Sequence[Foretold]
) -> dict[str, Any]:
    """Return what was trained and what not, with the flops of each."""
    from chidu.training.rungs import ladder_flops, trunk_flops

    left_out = {each.name for each in foretold}
    needed = [rung for rung in rungs if rung.name not in left_out]
    trained = [rung for rung in needed if rung.name not in taken]
    own = [run for run in runs if run.name not in taken]
    found: dict[str, Any] = {
        "rungs": len(runs),
        "flops": sum(run.flops_spent for run in own) + trunk_flops(trained),
        "flops_apart": sum(run.config.flops for run in own),
    }
    if taken:
        found |= {"taken": list(taken), "flops_taken": ladder_flops(needed) - ladder_flops(trained)}
    if foretold:
        found |= {
            "left_out": [each.as_dict() for each in foretold],
            "flops_left_out": ladder_flops(rungs) - ladder_flops(needed),
        }
    return found


def tell_spared(result: Mapping[str, Any], voice: Voice) -> None:
    """Say which runs were not trained, and why; and what that spared."""
    taken, left_out = result.get("taken", ()), result.get("left_out", ())
    if taken:
        voice.say(
            f"ladder: {len(taken)} of {count_of(result['rungs'], 'rung')} were trained before and are used as they "
            f"are: {result['flops_taken']:.2e} flops spared"
        )
    if left_out:
        told = ", ".join(f"{each['name']} {each['loss']:.4f}" for each in left_out)
        voice.say(
            f"ladder: {count_of(len(left_out), 'rung')} not trained, since the law of the others foretells them "
            f"closely enough: {told}; {result['flops_left_out']:.2e} flops spared, {result['flops']:.2e} spent"
        )


def design_inputs(work: Work) -> dict[str, str]:
    """Fingerprints of what every training is made from."""
    packed = work.records["tokens"].outputs
    return {
        "design": work.records["design"].content,
        "train": packed["train.bin"]["sha256"],
        "held_out": packed["held_out.bin"]["sha256"],
    }


def law(work: Work) -> None:
    """Fit the law to the ladder's table."""
    table = work.folder / "ladder" / LADDER_TABLE

    def make(folder: Path) -> dict[str, Any]:
        work.teller("law")(0.0, "fitting")
        fitted = fit_table(work.settings, Ladder.read(table), RESAMPLES)
        write_json(folder / "fit.json", fitted.as_dict())
        write_atomic(folder / "fit.txt", f"{fitted}\n")
        return {"law": fitted.law, "status": str(fitted.status.value), "parameters": dict(fitted.parameters)}

    inputs = {"ladder": work.records["ladder"].outputs[LADDER_TABLE]["sha256"]}
    work.stage("law", inputs, make)
    if "law" not in work.skipped:
        work.voice.say((work.folder / "law" / "fit.txt").read_text(encoding="utf-8").rstrip())


def fit_table(settings: Settings, table: Ladder, resamples: int) -> Fit:
    """Fit the law that the settings ask for."""
    from chidu.laws import fit

    return fit(
        table,
        law=settings.law,
        resamples=resamples,
        level=settings.level,
        seed=settings.seed,
        objective=OBJECTIVE,
    )


def forecast(work: Work) -> None:
    """Write the forecast for the target down, before the target trains."""
    target = work.design.target.config
    point = {
        "params": float(target.shape.params),
        "params_matmul": float(target.shape.params_matmul),
        "tokens": float(target.tokens),
        "flops": target.flops,
    }

    def make(folder: Path) -> dict[str, Any]:
        fitted = read_fit(work.folder)
        columns = {name: [value] for name, value in point.items()}
        row = fitted.forecast(columns, level=work.settings.level).rows()[0]
        trust, why = fitted.trust(columns)
        written = WrittenForecast(
            written=now(),
            point=point,
            law=fitted.law,
            formula=fitted.formula,
            **{name: row[name] for name in ("loss", "low", "high", "extrapolation")},
            level=work.settings.level,
            trust=trust,
            why=why,
            ladder=work.records["ladder"].outputs[LADDER_TABLE]["sha256"],
            target=fingerprint(target.as_dict()),
        )
        (folder / "forecast.json").unlink(missing_ok=True)
        written.write(folder / "forecast.json")
        return {name: row[name] for name in ("loss", "low", "high")}

    inputs = {"law": work.records["law"].content, "design": work.records["design"].content}
    refuse_changed_forecast(work.folder)
    work.stage("forecast", inputs, make)
    written = WrittenForecast.read(work.folder / "forecast" / "forecast.json")
    work.voice.say(
        f"forecast: {written.loss:.4f} nats per token, {format_level(written.level)} interval {written.low:.4f} to "
        f"{written.high:.4f}; trust: {written.trust}: {written.why}"
    )


def refuse_changed_forecast(folder: Path) -> None:
    """Raise ForecastError where a forecast was changed after it was written: it is not quietly made again."""
    path = folder / "forecast" / "forecast.json"
    record = Record.read(folder / "forecast")
    if record is None or not path.exists():
        return
    WrittenForecast.read(path)
    if file_digest(path) != record.outputs["forecast.json"]["sha256"]:
        raise ForecastError(f"{path} was changed after it was written: it can't be scored; restore the original")


def target(work: Work) -> None:
    """Train the run that was forecast."""
    chosen = work.design

    def make(folder: Path) -> dict[str, Any]:
        work.live.begin([chosen.target.name], making(folder))
        tell = StepTeller(work, "target", chosen)
        written = WrittenForecast.read(work.folder / "forecast" / "forecast.json")
        config = chosen.target.config
        judge = TargetJudge(peers(rung_runs(work.folder), config), config, written, work.folder, work.live, work.voice)

        def on_event(event: RunEvent) -> None:
            tell(chosen.target.group, event)
            if isinstance(event, Steps):
                judge(event)

        if work.crew is None:
            from chidu.training.target import train_target

            run = train_target(chosen.target, work.text, folder, chosen.processes, chosen.threads, on_event)
        else:
            from chidu.training.sharded import train_sharded

            run = train_sharded(chosen.target, work.text, folder, work.crew, on_event, work.voice.say)
        return {"loss": run.loss, "seconds": run.seconds, "flops": run.flops_spent}

    # The forecast is an input: a record of the target proves that the forecast was there before it.
    inputs = {**design_inputs(work), "forecast": work.records["forecast"].content}
    work.stage("target", inputs, make)


def score(work: Work) -> None:
    """Compare the measured loss with the forecast."""
    written = WrittenForecast.read(work.folder / "forecast" / "forecast.json")

    def make(folder: Path) -> dict[str, Any]:
        scored = written.score(read_run(work.folder))
        scored.write(folder / "score.json")
        return asdict(scored)

    inputs = {"forecast": work.records["forecast"].content, "target": work.records["target"].content}
    scored = Score.from_dict(work.stage("score", inputs, make).result)
    work.voice.say(
        f"score: measured {scored.measured:.4f}; the forecast was {abs(scored.error_percent):.2f}% too "
        f"{'high' if scored.error_percent > 0 else 'low'}, and the interval {'holds' if scored.inside else 'misses'} it"
    )


def model(work: Work) -> None:
    """Save the target as a folder that `transformers` opens, see that it does, and let it write."""
    run = read_run(work.folder)
    prompt = sample_prompt(work.records["corpus"].result)

    def make(folder: Path) -> dict[str, Any]:
        # Here, and not above: a stage that is skipped needs no torch.
        from chidu.model.check import logit_difference
        from chidu.model.conversion import save_model
        from chidu.training.loop import trained_model
        from chidu.training.target import WEIGHTS

        tell = work.teller("model")
        tell(0.0, "saving")
        network = trained_model(run.config, work.folder / "target" / WEIGHTS)
        save_model(folder, network, work.folder / "tokens" / "tokenizer.json", model_card(work, run))
        tell(0.3, "opening it with transformers")
        difference = logit_difference(folder, network)
        tell(0.8, "writing a paragraph")
        written = write_sample(folder, prompt, work.settings.seed)
        write_json(folder / "sample.json", {"prompt": prompt, "text": written})
        return {"logit_difference": difference}

    inputs = {"target": work.records["target"].content, "tokens": work.records["tokens"].content}
    record = work.stage("model", inputs, make)
    work.voice.say(
        f"model: {work.folder / 'model'} "
        f"(transformers opens it; logits differ by {record.result['logit_difference']:.1e})"
    )


def sample_prompt(data_card: Mapping[str, Any]) -> str:
    """Return a first line in the language of most of the text."""
    languages = data_card["languages"]
    chinese = languages.get("zh", {}).get("bytes", 0)
    return CHINESE_PROMPT if chinese > sum(entry["bytes"] for entry in languages.values()) / 2 else PROMPT


def write_sample(folder: Path, prompt: str, seed: int) -> str:
    """Return what the saved model writes after the prompt."""
    from chidu.inference import Sampling, open_engine

    return "".join(piece.text for piece in open_engine(str(folder)).write(prompt, Sampling(max_tokens=150, seed=seed)))


def report(work: Work) -> None:
    """Draw the page."""
    inputs = {name: record.content for name, record in work.records.items()}

    def make(folder: Path) -> dict[str, Any]:
        work.teller("report")(0.0, "drawing")
        page = folder / "report.html"
        write_work_report(work.folder, page, work.settings.language)
        return {"bytes": page.stat().st_size}

    work.stage("report", inputs, make)
    work.voice.say(f"report: {(work.folder / 'report' / 'report.html').resolve()}")


STAGES: dict[str, Callable[[Work], None]] = {
    "collect": collect,
    "corpus": corpus,
    "tokens": tokens,
    "design": design,
    "ladder": ladder,
    "law": law,
    "forecast": forecast,
    "target": target,
    "score": score,
    "model": model,
    "report": report,
}
"""Every stage, in order."""
