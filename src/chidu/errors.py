"""Every error that Chidu raises on purpose, in one tree.

ChiduError                  shown as one line: what, where, what to do; exit code 1
├── InputError              something the caller brought is not usable
│   ├── TableError          a table of runs: a column, a row, a value
│   ├── TextError           text: none found, too little, not UTF-8
│   ├── SchemaError         a JSON schema that is none, too large, or that can't be followed
│   ├── ContextError        a prompt that leaves no room in the model's context
│   ├── ChatError           a conversation for a model that was taught none
│   └── SettingError        a setting, a flag or a TOML key
├── FitError                a law could not be fitted to these rows
├── TrainingError           a run diverged or its checkpoints can't be used
│   └── StoppedError        a run was asked to stop, and is saved
├── WorkFolderError         locked, of a newer version, or damaged
│   └── LeaseError          a run's folder is another worker's by now
├── IndexFolderError        an index is of another format or embedder, or damaged
│   └── IndexBusyError      an index is being written by another process
├── StorageError            storage that failed again and again; an OSError too
├── ForecastError           a forecast that was changed after it was written, or scored twice
├── RecordError             the record of verdicts: broken, written by another process, or the disk is full
├── WorkerError             a worker process ended before its work did
├── RemoteError             a model behind an address does not answer, or not as it should
├── ClusterError            a cluster is not there, is gone, or does not see the work folder
└── MissingPackageError     an optional package is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ChatError",
    "ChiduError",
    "ClusterError",
    "ContextError",
    "FitError",
    "ForecastError",
    "IndexBusyError",
    "IndexFolderError",
    "InputError",
    "LeaseError",
    "MissingPackageError",
    "RecordError",
    "RemoteError",
    "SchemaError",
    "SettingError",
    "StoppedError",
    "StorageError",
    "TableError",
    "TextError",
    "TrainingError",
    "WorkFolderError",
    "WorkerError",
    "nearest",
]


class ChiduError(Exception):
    """Base of all errors that name what is wrong, where, and what to do."""


class InputError(ChiduError):
    """Something the caller brought is not usable."""


class TableError(InputError):
    """A table of runs lacks a column, or a row holds a value that can't be used."""


class TextError(InputError):
    """No text, too little text, or bytes that are not UTF-8."""


class SchemaError(InputError):
    """A JSON schema that is none, too large, or that can't be followed."""


class ContextError(InputError):
    """A prompt or text that the model's context does not hold."""


class ChatError(InputError):
    """A conversation was brought to a model that was taught none."""


class SettingError(InputError):
    """A setting, flag or TOML key is unknown or out of range."""


class FitError(ChiduError):
    """A law could not be fitted to these rows."""


class TrainingError(ChiduError):
    """A run diverged, or none of its checkpoints can be used."""


class StoppedError(TrainingError):
    """A run was asked to stop; it finished its step and is saved."""


class WorkFolderError(ChiduError):
    """A work folder is in use by another process, of a newer version, or damaged."""


class LeaseError(WorkFolderError):
    """A run's folder is held by another worker, perhaps on another machine: this one may not write into it."""


class IndexFolderError(ChiduError):
    """An index is being written by another process, of another format or embedder, unfinished, or damaged."""


class IndexBusyError(IndexFolderError):
    """An index is being written by another process: what it held before can be read all the while."""


class StorageError(ChiduError, OSError):
    """Storage failed in a way that often passes, and did not pass while it was tried again."""


class ForecastError(ChiduError):
    """A forecast was changed after it was written down, or can't be scored."""


class RecordError(ChiduError):
    """The record of verdicts is broken, in use, without its key, or can't be written."""


class WorkerError(ChiduError):
    """A worker process ended before its work did."""


class RemoteError(ChiduError):
    """A model behind an address does not answer, or not as it should."""


class ClusterError(ChiduError):
    """A cluster can't be reached, is gone, or has nodes that can't do the work."""


class MissingPackageError(ChiduError):
    """An optional package is needed; the message says what to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: run pip install 'chidu[{extra}]'")
        self._told = (package, extra, purpose)

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str, str]]:
        """Come whole out of a worker process: the message alone would not fit `__init__`."""
        return type(self), self._told


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name closest to ``name``, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""
