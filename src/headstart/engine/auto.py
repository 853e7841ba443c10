"""The fastest engine for one graph on this machine: measured once, remembered, with another to fall back on.

Only engines that compute in the wanted precision are compared, so the choice never changes what the
features are, but for the last bits.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from headstart.compute import cache_dir, processor, threads
from headstart.engine import ENGINES
from headstart.errors import BackboneError, ConfigError, HeadstartError
from headstart.hashing import hash_json
from headstart.manifest import atomic_write, dump_json, read_json
from headstart.types import Engine

DEFAULT = "onnxruntime"
_ENOUGH = 200  # inputs: for fewer a second of measuring does not pay
_SECONDS = 0.25  # a turn of measuring; each engine has two
_TOLERANCE = 1e-3  # of the size of an output: how far float32 on two engines may be apart
_BETTER = 1.1  # how much quicker another engine has to be to be taken for the default one


class AutoEngine:
    """Runs a graph on the engine that suits, chosen at the first run from the inputs that come with it.

    Args:
        graph: path of the ONNX graph.
        graph_id: its hash; with the machine and the versions the key of what is remembered.
        wanted: "auto", or an engine's name, which is then used without measuring.
        precision: "float32" or "bfloat16".
        rows: inputs to come; few are not worth measuring for.
        say: told, in one sentence, what was measured or went wrong.

    Raises:
        HeadstartError: there is no engine of this name.
        ConfigError: it cannot be used here, or not in this precision.
    """

    name = "auto"

    def __init__(
        self,
        graph: Path,
        graph_id: str,
        *,
        wanted: str = "auto",
        precision: str = "float32",
        rows: int = 0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._graph, self._graph_id, self._rows = graph, graph_id, rows
        self.precision = precision
        self.notes: list[str] = []
        self._say = say or (lambda sentence: None)
        self._names = usable(precision) if wanted == "auto" else [_checked(wanted, precision)]
        if wanted not in ("auto", DEFAULT) and precision == "float32":
            self._names.append(DEFAULT)
        self._measure = wanted == "auto" and len(self._names) > 1
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        # not known before it is chosen; more runs than the engine wants at once only wait for each other
        self.parallel = threads()
        self.batch = max(ENGINES.get(known).batch for known in self._names)

    @property
    def chosen(self) -> str:
        """The engine's name, empty before the first run."""
        return "" if self._engine is None else self._engine.name

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Graph input names -> arrays, to output names -> arrays."""
        with self._lock:
            if self._engine is None:
                self._engine = self._choose(feeds)
                self._gate = threading.BoundedSemaphore(self._engine.parallel)
            engine, gate = self._engine, self._gate
        try:
            with gate:
                return engine.run(feeds)
        except Exception as error:
            if isinstance(error, MemoryError) or len(self._names) < 2:
                raise _failed(engine.name, error) from error
            return self._fall_back(engine, error).run(feeds)

    def _fall_back(self, failed: Engine, error: Exception) -> Engine:
        """The next engine of those left; several runs may fail at once, one of them does the change."""
        with self._lock:
            if self._engine is failed:
                if failed.name in self._names:
                    self._names.remove(failed.name)
                self._note(f"{failed.name} failed on this graph ({_line(error)})")
                self._engine = self._first(self._names)
                self._gate = threading.BoundedSemaphore(self._engine.parallel)
                self._remember(self._engine.name, {})
            assert self._engine is not None
            return self._engine

    def _note(self, sentence: str) -> None:
        self.notes.append(sentence)
        self._say(sentence)

    def _choose(self, feeds: Mapping[str, np.ndarray]) -> Engine:
        if not self._measure:
            engine = self._first(self._names)
            return engine if engine.name == DEFAULT else self._agreeing([engine], feeds)[0]
        known = self._remembered()
        if known in self._names:
            return self._first([known, *(name for name in self._names if name != known)])
        if self._rows < _ENOUGH:
            return self._first(self._names)
        engines = self._agreeing(self._opened(), feeds)
        rates = measure(engines, feeds)
        best = max(rates, key=lambda name: rates[name] * (_BETTER if name == DEFAULT else 1))
        self._names = [best, *(name for name in self._names if name != best)]
        self._remember(best, rates)
        if len(rates) > 1:
            told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
            self._say(f"engine: {best} (inputs a second: {told}; remembered)")
        return next(engine for engine in engines if engine.name == best)

    def _opened(self) -> list[Engine]:
        """All usable engines that load the graph."""
        engines: list[Engine] = []
        for name in list(self._names):
            try:
                engines.append(self._open(name))
            except BackboneError as error:  # noqa: PERF203
                self._names.remove(name)
                self._note(f"{name} does not run this graph ({error.message[:200]})")
                if not self._names:
                    raise
        return engines

    def _agreeing(self, engines: list[Engine], feeds: Mapping[str, np.ndarray]) -> list[Engine]:
        """Those that compute what the default engine computes: a library's bug must not pass for speed.

        In reduced precision nothing is expected to agree so closely (see `headstart.features.precision`).
        """
        if self.precision != "float32":
            return engines
        default = next((one for one in engines if one.name == DEFAULT), None)
        default = default or self._open(DEFAULT)
        expected = default.run(feeds)
        kept = []
        for engine in engines:
            if engine is default or agree(engine, feeds, expected):
                kept.append(engine)
            elif engine.name in self._names:
                self._names.remove(engine.name)
                self._note(
                    f"{engine.name} computes something else on this graph than {DEFAULT} does"
                )
        return kept or [default]

    def _first(self, names: Sequence[str]) -> Engine:
        """The first of these that loads the graph."""
        for i, name in enumerate(names):
            try:
                return self._open(name)
            except BackboneError as error:  # noqa: PERF203
                if i + 1 == len(names):
                    raise
                self._note(
                    f"{name} does not run this graph; {names[i + 1]} does ({error.message[:200]})"
                )
        raise AssertionError("no engine")

    def _open(self, name: str) -> Engine:
        engine: Engine = ENGINES.get(name)(self._graph, precision=self.precision)
        return engine

    def _place(self) -> Path:
        """Where this choice is remembered: another machine, version or engine asks anew."""
        key = {
            "graph": self._graph_id,
            "precision": self.precision,
            "processor": processor(),
            "threads": threads(),
            "system": platform.system(),
            "engines": {name: ENGINES.get(name).version() for name in usable(self.precision)},
        }
        return cache_dir() / "graphs" / ".engines" / f"{hash_json(key)[:32]}.json"

    def _remembered(self) -> str:
        try:
            kept = read_json(self._place().read_bytes(), "engine.json")
        except (OSError, HeadstartError):
            return ""
        return str(kept.get("engine", "")) if isinstance(kept, dict) else ""

    def _remember(self, name: str, rates: Mapping[str, float]) -> None:
        place = self._place()
        told = {"engine": name, "inputs_per_second": {n: round(r, 1) for n, r in rates.items()}}
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(place, dump_json(told))
        except OSError:  # a cache that cannot be written costs a second the next time
            return


def usable(precision: str = "float32") -> list[str]:
    """Names of the engines that run here in this precision, the default one first.

    Args:
        precision: "float32" or "bfloat16".
    """
    found = []
    for name in sorted(ENGINES.names(), key=lambda name: (name != DEFAULT, name)):
        engine = ENGINES.get(name)
        if not engine.missing() and precision in engine.precisions():
            found.append(name)
    return found


def agree(
    engine: Engine, feeds: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> bool:
    """Whether an engine gives the expected outputs, up to `_TOLERANCE` of their size.

    Args:
        engine: float32.
        feeds: one batch.
        expected: output name -> values, from the default engine.
    """
    try:
        found = engine.run(feeds)
    except Exception:  # noqa: BLE001  whatever a library raises: this engine is not for this graph
        return False
    for name, values in expected.items():
        if name not in found or found[name].shape != values.shape:
            return False
        size = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
        if not np.abs(found[name] - values).max(initial=0.0) <= _TOLERANCE * max(size, 1e-12):
            return False
    return True


def measure(engines: Sequence[Engine], feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Inputs a second of each engine, `parallel` runs at a time, in turns; one that fails is left out.

    Args:
        engines: ready to run.
        feeds: one batch.
    """
    rows = len(next(iter(feeds.values())))
    rates: dict[str, float] = {}
    for _ in range(2):
        for engine in engines:
            try:
                if engine.name not in rates:
                    engine.run(feeds)  # the first run sets things up
                rate = rows * _turn(engine, feeds)
            except Exception:  # noqa: BLE001  whatever a library raises: this engine is not for this graph
                rates[engine.name] = 0.0
                continue
            rates[engine.name] = max(rate, rates.get(engine.name, 0.0))
    return {name: rate for name, rate in rates.items() if rate > 0} or {engines[0].name: 0.0}


def _turn(engine: Engine, feeds: Mapping[str, np.ndarray]) -> float:
    """Runs a second, over about a quarter of one."""
    started = time.perf_counter()

    def work(_: int) -> int:
        runs = 0
        while runs == 0 or time.perf_counter() - started < _SECONDS:
            engine.run(feeds)
            runs += 1
        return runs

    with ThreadPoolExecutor(engine.parallel) as pool:
        runs = sum(pool.map(work, range(engine.parallel)))
    return runs / (time.perf_counter() - started)


def _checked(name: str, precision: str) -> str:
    engine: Any = ENGINES.get(name)
    if why := engine.missing():
        raise ConfigError(f"The engine {name} cannot be used here: {why}.", fix="use --engine auto")
    if precision not in engine.precisions():
        others = usable(precision)
        raise ConfigError(
            f"The engine {name} does not compute in {precision} on this machine.",
            fix=f"use --engine {others[0]}" if others else "leave --precision out",
        )
    return name


def _failed(name: str, error: Exception) -> HeadstartError:
    if isinstance(error, HeadstartError):
        return error
    if isinstance(error, MemoryError):
        return BackboneError(
            f"{name}: there is not enough memory to run the backbone.",
            fix="use a smaller backbone, or close other programs",
        )
    return BackboneError(
        f"{name} failed on this graph: {_line(error)}",
        fix="use another backbone, or make its graph again (headstart cache --clear graphs)",
    )


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
