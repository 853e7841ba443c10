"""What a training needs to go on after a crash: one JSON file that names tensor files by their content.

A state is `state/state.json` and the safetensors files it names. The files are written first, then the
JSON file replaces the old one, then what nothing names any more is deleted: a process that ends at any
moment leaves the old state or the new one. `metrics.jsonl` beside it is written from the state.

One process at a time may use a folder (see `headstart.train.lock`).

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.hashing import hash_bytes, hash_json, hash_parts
from headstart.manifest import atomic_write, dump_json, dump_tensors, load_tensors, read_json
from headstart.train.course import Course, State, noted, state_of
from headstart.train.multi import Team
from headstart.train.settings import Job
from headstart.train.weights import Tensors, Weights

VERSION = 1
EVERY = 3.0  # seconds between two states, at least
SHARE = 20  # and this many times what one takes
_SHORT = "bfloat16:"  # numpy has no such type: its bits are kept as int16


class Keeper:
    """Keeps the states of one training in a folder; without a folder, it does nothing.

    Args:
        folder: made if it is not there.
        identity: of the arguments; a state of others is set aside.
        began: when the training began, of `time.monotonic`.
    """

    def __init__(self, folder: Path | None, identity: str, began: float) -> None:
        self._folder, self._identity, self._began = folder, identity, began
        self._named: dict[str, tuple[Tensors, dict[str, str]]] = {}  # what is on the disk already
        self._next, self._failed = time.monotonic() + EVERY, False

    def seconds(self) -> float:
        """Time taken so far, before an interruption and now."""
        return time.monotonic() - self._began

    def due(self) -> bool:
        """Whether it is time to keep another state."""
        return self._folder is not None and time.monotonic() >= self._next

    def saving(self, tensors: Tensors) -> float:
        """Seconds that writing these tensors takes, measured."""
        if self._folder is None:
            return 0.0
        began = time.monotonic()
        try:
            entry = self._file("trial", tensors)
            (self._place / entry["file"]).unlink()
        except OSError:
            return 0.0
        return time.monotonic() - began

    def kept(self, course: Course, now: Tensors) -> Course:
        """Keep a state.

        Args:
            course: where the training stands.
            now: all that changes; may be the anchor itself.

        Returns:
            The course with the time so far, and with a note where it could not be kept for the first time.
        """
        course = replace(course, state=replace(course.state, seconds=self.seconds()))
        if self._folder is None:
            return course
        began = time.monotonic()
        try:
            self._write(course, now)
        except OSError as error:
            why, told = error.strerror or str(error), self._failed
            self._failed = True
            note = (
                f"The state of the training cannot be kept: {why}. The training goes on; if it is cut off, "
                "what it learned since the last state is lost."
            )
            return course if told else replace(course, state=noted(course.state, note))
        finally:
            ended = time.monotonic()
            self._next = ended + max(EVERY, SHARE * (ended - began))
        return course

    def load(self, weights: Weights) -> tuple[Course | None, str]:
        """The last state; the weights are put where they were then.

        Args:
            weights: of a training with the same arguments.

        Returns:
            The course; or None, and a note where there was a state that cannot be used.
        """
        if self._folder is None or not (self._place / "state.json").exists():
            return None, ""
        try:
            kept = _checked(self._place, self._identity)
            if isinstance(kept, str):
                return None, self._set_aside(kept)
            state = state_of(kept["state"])
            held = {role: self._read(role, entry) for role, entry in kept["files"].items()}
            course = Course(state, held.get("anchor", {}), held["best"])
            if not all(weights.fit(held[r]) for r in ("now", "anchor") if not state.stopped):
                return None, self._set_aside("it does not fit the module")
        except (HeadstartError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return None, self._set_aside("it is damaged")
        if not state.stopped:
            weights.restore(held["now"], state.step)
        self._began -= state.seconds
        with suppress(OSError):
            self._metrics(state)
        return course, ""

    @property
    def _place(self) -> Path:
        return Path(self._folder or "") / "state"

    def _write(self, course: Course, now: Tensors) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        roles: dict[str, Tensors] = {"best": course.best}
        if not course.state.stopped:
            roles |= {"anchor": course.anchor, "now": now}
        files = {role: self._file(role, tensors) for role, tensors in roles.items()}
        value = {
            "version": VERSION,
            "identity": self._identity,
            "files": files,
            "state": dataclasses.asdict(course.state),
        }
        atomic_write(self._place / "state.json", dump_json(value | {"sum": hash_json(value)}))
        self._metrics(course.state)
        named = {entry["file"] for entry in files.values()} | {"state.json"}
        for path in self._place.iterdir():
            if path.name not in named:
                path.unlink()

    def _file(self, role: str, tensors: Tensors) -> dict[str, str]:
        """Name and sum of the file with these tensors, written unless it is there."""
        for known, entry in self._named.values():
            if known is tensors and (self._place / entry["file"]).exists():
                self._remember(role, known, entry)
                return entry
        self._place.mkdir(parents=True, exist_ok=True)
        data = dump_tensors(dict(map(_array, tensors.items())))
        total = hash_bytes(data)
        entry = {"file": f"{total[:32]}.safetensors", "sha256": total}
        if not (self._place / entry["file"]).exists() or self._sum(entry) != total:
            atomic_write(self._place / entry["file"], data)
        self._remember(role, tensors, entry)
        return entry

    def _remember(self, role: str, tensors: Tensors, entry: dict[str, str]) -> None:
        if role in ("best", "anchor"):  # which are in memory anyway
            self._named[role] = (tensors, entry)

    def _sum(self, entry: Mapping[str, str]) -> str:
        return hash_bytes((self._place / entry["file"]).read_bytes())

    def _read(self, role: str, entry: Mapping[str, str]) -> Tensors:
        for known, same in self._named.values():
            if same == entry:
                self._remember(role, known, same)
                return known
        if not re.fullmatch(r"[0-9a-f]{32}\.safetensors", entry["file"]):
            raise ValueError(entry["file"])
        data = (self._place / entry["file"]).read_bytes()
        if hash_bytes(data) != entry["sha256"]:
            raise ValueError(entry["file"])
        tensors = dict(map(_tensor, load_tensors(data, entry["file"]).items()))
        self._remember(role, tensors, dict(entry))
        return tensors

    def _metrics(self, state: State) -> None:
        lines = [json.dumps(dataclasses.asdict(epoch)) + "\n" for epoch in state.history]
        atomic_write(self._place.parent / "metrics.jsonl", "".join(lines))

    def _set_aside(self, why: str) -> str:
        aside = self._place.with_name("state-aside")
        self._named.clear()
        note = f"The training began anew: there is an earlier state of it, but {why}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            self._place.rename(aside)
        except OSError as error:
            return f"{note}. It cannot be moved away: {error.strerror}."
        return f"{note}. It was moved to {aside.name}."


def shared(team: Team, course: Course | None, weights: Weights) -> Course | None:
    """The course that the first process took up, on all of them, with its weights.

    Args:
        team: the processes.
        course: what this one took up; only the first one's counts.
        weights: where they are then.
    """
    if team.count == 1:
        return course
    value = team.agree(None if course is None else dataclasses.asdict(course.state))
    state = None if value is None else state_of(value)
    if state is None or not state.stopped:
        weights.restore(team.copied(weights.snapshot()), state.step if state else 0)
    if state is None:
        return None
    own = course or Course(state, {}, {})
    return Course(state, team.copied(own.anchor), team.copied(own.best))


def identity(job: Job) -> str:
    """A hash of what a training depends on: two with the same hash end with the same bytes.

    The budget does not: what it allowed was decided before the first step and is kept.
    Of the source, its type, its settings and the first rows count, as its data may be large; of the
    machine, the kind of device and the numbers of threads and processes.
    """
    first = job.source.batch(job.learn[:4], 0, 0, train=False)
    module = {**dict(job.module.named_parameters()), **dict(job.module.named_buffers())}
    device = next(job.module.parameters()).device.type
    rows = [job.learn, job.held, np.zeros(0) if job.classes is None else np.unique(job.classes)]
    if job.classes is not None:
        rows.append(np.unique(job.classes, return_inverse=True)[1])
    if job.lengths is not None:
        rows.append(job.lengths)
    return hash_json(
        {
            "version": VERSION,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "threads": torch.get_num_threads(),
            "processes": job.team.count,
            "device": device,
            "settings": dataclasses.asdict(job.settings) | {"budget": bool(job.settings.budget)},
            "groups": [dataclasses.asdict(group) for group in job.groups],
            "loss": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(job.loss)),
            "source": _told(job.source),
            "rows": hash_parts(hash_bytes(np.ascontiguousarray(one).tobytes()) for one in rows),
            "first": [_hash(one) for one in (*first[0], first[1])],
            "module": {name: _hash(tensor) for name, tensor in module.items()},
        }
    )


def _told(source: object) -> list[str]:
    """The type of a source and its settings, also those of a source within; no data."""
    told = [type(source).__qualname__]
    if dataclasses.is_dataclass(source):
        values = [(one.name, getattr(source, one.name)) for one in dataclasses.fields(source)]
        for name, value in values:
            if dataclasses.is_dataclass(value):
                told += [name, *_told(value)]
            elif isinstance(value, bool | int | float | str | None):
                told.append(f"{name}={value!r}")
    return told


def _hash(tensor: Tensor) -> str:
    kept = tensor.detach().cpu().contiguous()
    content = kept.reshape(-1).view(torch.uint8).numpy()
    return f"{tensor.dtype} {list(tensor.shape)} {hash_bytes(content.data)}"


def _checked(place: Path, identity: str) -> dict[str, Any] | str:
    """The content of a state file, or why it is not to be used."""
    kept = read_json((place / "state.json").read_bytes(), "state.json")
    if kept.get("version") != VERSION:
        return "it is of another version"
    if kept.pop("sum", None) != hash_json(kept):
        return "it is damaged"
    return kept if kept["identity"] == identity else "it is of other data, settings or versions"


def _array(item: tuple[str, Tensor]) -> tuple[str, np.ndarray]:
    name, tensor = item[0], item[1].detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return _SHORT + name, tensor.view(torch.int16).numpy()
    return name, tensor.numpy()


def _tensor(item: tuple[str, np.ndarray]) -> tuple[str, Tensor]:
    name, tensor = item[0], torch.from_numpy(item[1].copy())
    if name.startswith(_SHORT):
        return name.removeprefix(_SHORT), tensor.view(torch.bfloat16)
    return name, tensor
