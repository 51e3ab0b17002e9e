"""TensorBoard: a folder of event files a run, with its config as hparams."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.scalar.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from chidu.runs.outbound.outgoing import Outgoing

__all__ = ["write"]


def write(folder: Path, project: str, runs: Sequence[Outgoing]) -> str:
    """Write each run into a folder of its own, in the project's; return the name of that."""
    for run in runs:
        writer = EventFileWriter(str(folder / project / run.name))
        for event in _events(run):
            writer.add_event(event)
        writer.close()
    return project


def _events(run: Outgoing) -> Iterator[Any]:
    now = time.time()
    started = plugin_data_pb2.SessionStartInfo(group_name=run.group, start_time_secs=now)
    for name, value in run.config.items():
        kind = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"
        setattr(started.hparams[name], kind, value)
    ended = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=now)
    for tag, content in (
        (metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=started)),
        (metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=ended)),
    ):
        yield _event(now, 0, tag, metadata.create_summary_metadata(content), 0.0)
    # As tensors of float64: TensorBoard's own `add_scalar` would round to float32.
    for step, told in run.history.items():
        for name, value in told.items():
            yield _event(now, step, name, create_summary_metadata("", ""), value)
    for name, value in run.final.items():
        yield _event(now, run.steps, name, create_summary_metadata("", ""), value)


def _event(now: float, step: int, tag: str, kind: Any, number: float) -> Any:
    value = Summary.Value(tag=tag, metadata=kind, tensor=make_tensor_proto(number, dtype="float64"))
    return Event(wall_time=now, step=step, summary=Summary(value=[value]))
