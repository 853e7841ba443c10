"""TensorBoard: event files in `runs/NAME`, which `tensorboard --logdir runs` shows.

The package (Apache-2.0) weighs 53 MB with the six that it brings (among them grpcio, Werkzeug and its data
server), and its writer is imported in about a second. TensorFlow is not needed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import MissingExtra
from headstart.scores import Metric, Trials
from headstart.trackers import values
from headstart.types import Epoch

if TYPE_CHECKING:
    from headstart.trackers.watching import How

FOLDER = Path("runs")
"""Where the runs lie, in the working folder."""


class TensorBoard:
    """Writes an event file in a new folder for every run: NAME, NAME-2, ...

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self) -> None:
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise MissingExtra("tensorboard", "tensorboard") from None
        self._new = EventFileWriter
        self._writer: Any = None

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Make the folder; the settings become a table under TEXT."""
        self._writer = self._new(str(_folder(FOLDER, name)))
        rows = [f"| {key} | {_cell(value)} |" for key, value in settings.items()]
        self._text("settings", "\n".join(["| setting | value |", "| --- | --- |", *rows]))

    def epoch(self, method: str, epoch: Epoch) -> None:
        """Scalars METHOD/NAME, written at once."""
        self._numbers(values.of_epoch(method, epoch), epoch.epoch)

    def end(self, metrics: Mapping[str, Metric], trials: Trials | None) -> None:
        """Scalars measured/NAME and tried/METHOD; what was kept under TEXT."""
        self._numbers(values.of_end(metrics, trials), 0)
        if trials:
            self._text("kept", values.kept(trials))

    def close(self, how: How) -> None:
        """Close the file; under TEXT, how it ended."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                self._text("ended", how, writer)
            finally:
                writer.close()

    def _numbers(self, numbers: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        named = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._write(Summary(value=named), step, self._writer)

    def _text(self, tag: str, text: str, writer: Any = None) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        data = SummaryMetadata.PluginData(plugin_name="text")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(
            dtype="DT_STRING", string_val=[text.encode("utf-8")], tensor_shape=shape
        )
        value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=data), tensor=tensor)
        self._write(Summary(value=[value]), 0, writer or self._writer)

    def _write(self, summary: Any, step: int, writer: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        writer.flush()


def _cell(value: Any) -> str:
    """As text of a Markdown table, which has one line a row."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _folder(place: Path, name: str) -> Path:
    """A new folder; two runs that begin at once get two."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "fit"
    number = 1
    while True:
        path = place / (plain if number == 1 else f"{plain}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path
