"""`chidu forecast`: the loss of runs not made yet, and whether to trust it; written down first, scored after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chidu.cli.plain import json_text

if TYPE_CHECKING:
    from chidu.laws import Fit
    from chidu.runs.ladder import Ladder

__all__ = ["command"]


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A fit saved by `chidu fit --output`, or a table of runs to fit.")
    ] = None,
    *,
    params: Annotated[str | None, typer.Option(help="Params of the run, like 1B, in the column the fit reads.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens of the run, like 20B.")] = None,
    flops: Annotated[str | None, typer.Option(help="Alone: the compute-optimal run of this budget.")] = None,
    at: Annotated[list[str] | None, typer.Option(help="Further inputs of the law: unique_tokens=5B,bits=4")] = None,
    points: Annotated[Path | None, typer.Option(help="A table of points with the fit's columns.")] = None,
    level: Annotated[float | None, typer.Option(help="Level of the interval; the fit's where not given.")] = None,
    law: Annotated[
        str, typer.Option(help="For a table: auto, a law's name (chidu fit --laws), or a formula.")
    ] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    resamples: Annotated[int | None, typer.Option(help="For a table: refits behind the intervals; 1000.")] = None,
    seed: Annotated[int | None, typer.Option(help="For a table: seed of the resamples; 0.")] = None,
    record: Annotated[Path | None, typer.Option(help="Write the forecast down, sealed: forecasts/NAME.json")] = None,
    score: Annotated[Path | None, typer.Option(help="A forecast written with --record whose run is done.")] = None,
    measured: Annotated[str | None, typer.Option(help="With --score: the loss of that run.")] = None,
    measured_from: Annotated[Path | None, typer.Option(help="With --score: a table that has that run.")] = None,
    history: Annotated[Path | None, typer.Option(help="A folder of written forecasts: how well they held.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Forecast the loss of a run, with an interval; write it down before the run, score it after."""

    from chidu.laws.reading import column_names
    from chidu.runs.history import check_forecast_path

    asked: dict[str, object] = {
        "SOURCE": source,
        "--params": params,
        "--tokens": tokens,
        "--flops": flops,
        "--at": at,
        "--points": points,
    }
    asked |= {"--record": record, "--level": level}
    scoring: dict[str, object] = {"--score": score, "--measured": measured, "--measured-from": measured_from}
    names = column_names(columns)
    text: str
    if history is not None:
        _refuse("--history", asked | scoring)
        document, text = _history(history)
    elif score is not None:
        _refuse("--score", asked)
        document, text = _score(score, measured, measured_from, names)
    else:
        _refuse_unscored(scoring)
        if record is not None:
            # Before a fit that may take a while.
            check_forecast_path(record)
        fit, where = _asked(source, params, tokens, flops, at, points, law, names, seed, resamples)
        document, text = _forecast(fit, where, level, record)
    typer.echo(json_text(document, indent=2) if as_json else text)


def _refuse(flag: str, others: dict[str, object]) -> None:
    from chidu.errors import SettingError

    given = [name for name, value in others.items() if value is not None]
    if given:
        raise SettingError(f"forecast: {flag} reads what was written: leave out {' and '.join(given)}")


def _refuse_unscored(scoring: dict[str, object]) -> None:
    from chidu.errors import SettingError

    for name, value in scoring.items():
        if value is not None:
            raise SettingError(
                f"forecast: {name} needs the written forecast that it scores: --score forecasts/NAME.json"
            )


def _asked(
    source: Path | None,
    params: str | None,
    tokens: str | None,
    flops: str | None,
    at: list[str] | None,
    points: Path | None,
    law: str,
    names: dict[str, str],
    seed: int | None,
    resamples: int | None,
) -> tuple[Fit, Ladder]:
    """Return the fit, and the points asked for."""
    from chidu.cli.notes import tell
    from chidu.errors import SettingError
    from chidu.laws.reading import forecast_points, load_fit, point_of

    if source is None:
        raise SettingError("forecast: name a saved fit or a table of runs, as in chidu forecast fit.json --flops 1e21")
    fit = load_fit(source, names, law, resamples, seed=seed, tell=tell)
    where = forecast_points(
        fit, params=params, tokens=tokens, flops=flops, at=point_of(at), table=points, columns=names
    )
    for note in where.notes:
        tell(note)
    return fit, where


def _forecast(fit: Fit, where: Ladder, level: float | None, record: Path | None) -> tuple[dict[str, Any], str]:
    from chidu.laws.show import forecast_document, forecast_text

    document = forecast_document(fit, where, level)
    text = forecast_text(document)
    if record is None:
        return document, text
    seal = _write(fit, where, document, record)
    return document | {"record": str(record), "seal": seal}, f"{text}\n\nwritten: {record}, seal {seal[:16]}…"


def _write(fit: Fit, where: Ladder, document: dict[str, Any], path: Path) -> str:
    """Write a forecast down and return its seal."""
    from chidu.errors import ForecastError
    from chidu.runs.forecast import WrittenForecast
    from chidu.runs.record import fingerprint, now

    if len(where) != 1:
        raise ForecastError(f"--record writes the forecast of one run, and here are {len(where)} points: name one")
    if document["target"] != "loss":
        raise ForecastError(f"--record writes forecasts of the loss, and this law speaks of {document['target']}")
    row = document["rows"][0]
    if row["low"] is None:
        raise ForecastError("--record: this fit has no refits, so no interval to be held to: fit with --resamples 1000")
    point = {name: float(where.numbers(name)[0]) for name in where.columns if name in {*fit.inputs, "flops", "params"}}
    written = WrittenForecast(
        written=now(),
        point=point,
        law=fit.law,
        formula=fit.formula,
        **{name: row[name] for name in ("loss", "low", "high", "level", "extrapolation")},
        trust=document["trust"],
        why=document["why"],
        ladder=fingerprint(fit.as_dict()),
        target=fingerprint(point),
    )
    written.write(path)
    return written.seal


def _score(path: Path, measured: str | None, table: Path | None, names: dict[str, str]) -> tuple[dict[str, Any], str]:
    import math
    from dataclasses import asdict

    from chidu.errors import SettingError
    from chidu.runs.history import measured_in, read_forecast, score_forecast, score_path
    from chidu.runs.ladder import Ladder
    from chidu.units import format_level

    if (measured is None) == (table is None):
        raise SettingError("forecast: --score needs one of --measured LOSS and --measured-from TABLE")
    written = read_forecast(path)
    loss = measured_in(Ladder.read(table, names), written) if table is not None else _loss(measured or "")
    found = score_forecast(path, loss)
    text = (
        f"measured {found.measured:.4f}; forecast {written.loss:.4f}, written {written.written}: "
        f"{abs(found.error_percent):.2f}% too {'high' if found.error_percent > 0 else 'low'}; the "
        f"{format_level(written.level)} interval {written.low:.4f} to {written.high:.4f} "
        f"{'holds' if found.inside else 'misses'} it"
    )
    if abs(math.log(found.measured / written.loss)) > math.log(2):
        text += f"\nwarning: that is far off; if the number was a slip, delete {score_path(path)} and score again"
    kept = {name: getattr(written, name) for name in ("written", "loss", "low", "high", "level")}
    return {"forecast": kept} | asdict(found), text


def _loss(text: str) -> float:
    from chidu.errors import InputError, SettingError
    from chidu.units import parse_count

    try:
        return parse_count(text)
    except InputError as error:
        raise SettingError(f"--measured: {error}") from error


def _history(folder: Path) -> tuple[dict[str, Any], str]:
    from chidu.runs.history import read_history

    found = read_history(folder)
    return found.as_dict(), str(found)
