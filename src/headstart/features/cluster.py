"""The pipeline on a Ray cluster: packets go out to workers as Ray Data blocks, batches come back.

What is computed is what one machine computes, bit for bit: a packet is prepared and run as a whole, by
one engine on one thread. Placing work, moving data and starting dead workers anew is Ray's part.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import headstart
from headstart.compute import threads
from headstart.engine import ENGINES
from headstart.engine.auto import DEFAULT
from headstart.errors import (
    BackboneError,
    ConfigError,
    HeadstartError,
    MissingExtra,
    UnreadableInput,
)
from headstart.features.extract import How, tokenizer_of
from headstart.preprocess import image
from headstart.runtime.pipeline import Batch, Packet, Pipeline
from headstart.types import Backbone, Preprocess

_AHEAD = 4  # packets a processor that are handed to Ray together ...
_BYTES = 256 << 20  # ... or so much of them: what Ray cannot hold in memory it puts on the disk
_SECONDS = 5.0  # to answer a first connection
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Work:
    """All that a worker needs; its machine has no cache folder of ours.

    Attributes:
        graph: the ONNX graph.
        preprocess: how inputs are prepared.
        tokenizer: content of tokenizer.json, texts only.
        output: which output of the graph is wanted.
        engine: name of an engine of the table.
        precision: "float32" or "bfloat16".
        with_features: send the output "features" of the same run back as well.
    """

    graph: bytes
    preprocess: Preprocess
    tokenizer: bytes | None = None
    output: str = "features"
    engine: str = DEFAULT
    precision: str = "float32"
    with_features: bool = False


def run(
    packets: Iterable[Packet],
    backbone: Backbone,
    how: How,
    say: Callable[[str], None] | None = None,
) -> Iterator[Batch]:
    """Features of all packets, one batch a packet, in the order in which they are done.

    Args:
        packets: taken as workers get through them; without any, no cluster is asked for.
        backbone: what computes them; batches hold (b, d) float32.
        how: the engine ("auto" is onnxruntime, the same on every machine), precision and cluster.
        say: told, in one sentence, what the cluster is.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: there is no such cluster, or a worker cannot do this.
        BackboneError: a worker says what is wrong, or Ray gives up.
    """
    ENGINES.get(engine_of(how))  # a wrong name is told before anything is started

    def work() -> Work:
        return Work(
            backbone.graph.read_bytes(),
            backbone.preprocess,
            tokenizer_of(backbone),
            engine=engine_of(how),
            precision=how.precision,
        )

    yield from run_work(packets, work, how.cluster, say)


def engine_of(how: How) -> str:
    """The engine that workers use: none is measured, as their machines may differ.

    Args:
        how: as for `run`.
    """
    return DEFAULT if how.engine == "auto" else how.engine


def runner(
    work: Callable[[], Work], address: str, say: Callable[[str], None] | None = None
) -> Callable[[Iterable[Packet]], Iterator[Batch]]:
    """`run_work` of packets alone, for `headstart.runtime.predictor.BundlePredictor.predict`.

    Args:
        work: as for `run_work`.
        address: as for `run_work`.
        say: as for `run`.
    """
    return lambda packets: run_work(packets, work, address, say)


def run_work(
    packets: Iterable[Packet],
    work: Callable[[], Work],
    address: str,
    say: Callable[[str], None] | None = None,
) -> Iterator[Batch]:
    """Batches of all packets, as `run`, for any graph.

    Args:
        packets: as for `run`.
        work: makes what the workers need; called once, and only if there is a packet.
        address: "auto", "local" or HOST:PORT.
        say: as for `run`.
    """
    packets = iter(packets)
    first = next(packets, None)
    if first is None:
        return
    with _connected(address) as ray:
        processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
        if say:
            where = "on this machine" if address == "local" else f"cluster {address}"
            say(f"Ray {ray.__version__}, {where}: {processors} processors")
        sent = ray.put(work())
        blocks = (_block(packet) for packet in itertools.chain([first], packets))
        window = _taken(blocks, _AHEAD * processors, _BYTES * processors)
        while window:
            following: list[Any] = []
            for batch in _window(ray, window, sent, processors):
                yield batch
                following += _taken(blocks, 1)  # one came back, one is made ready
            window = following


def _taken(blocks: Iterator[Any], most: int, size: int = 0) -> list[Any]:
    """The next blocks, up to a number and a size, as data sets of one block each: Ray holds them, not we."""
    from ray.data import from_blocks

    taken = []
    for block in itertools.islice(blocks, most):
        taken.append(from_blocks([block]))
        size -= block.nbytes
        if size <= 0:
            break
    return taken


def _window(ray: Any, window: list[Any], sent: Any, processors: int) -> Iterator[Batch]:
    """One run of Ray Data over some packets; it starts a dead worker anew and sends its packet again."""
    workers = min(len(window), processors)
    together = window[0].union(*window[1:]) if len(window) > 1 else window[0]
    answers = together.map_batches(
        Worker,
        fn_constructor_args=(sent, _versions()),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=processors, initial_size=workers),
        num_cpus=1,
    )
    try:
        for table in answers.iter_batches(batch_size=1, batch_format="pyarrow"):
            for row in table.to_pylist():
                yield _batch(row)
    except HeadstartError:
        raise
    except Exception as error:
        raise _failed(error) from error


class Worker:
    """What one actor does: packets in, answers out. An error goes back as an answer, not as a traceback.

    Args:
        sent: reference of the `Work`.
        versions: of Headstart and of its engines where the run was started.
    """

    def __init__(self, sent: Any, versions: dict[str, str]) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one actor, one processor
        self._sent, self._versions = sent, versions
        self._pipeline: Pipeline | None = None

    def __call__(self, table: Any) -> Any:
        """A table of one row a packet, to a table of one row an answer."""
        import pyarrow as pa

        answers = [self._tried(row) for row in table.to_pylist()]
        return pa.Table.from_pylist(answers, schema=_answers())

    def _tried(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._pipeline is None:
                self._pipeline = self._made()
            return self._answer(*_packet(row))
        except HeadstartError as error:
            return _empty(error.message, error.fix)
        except Exception as error:  # noqa: BLE001  whatever an engine raises
            told = f"A worker failed: {type(error).__name__}: {_line(error)}"
            return _empty(told, "run without --cluster to see whether it fails too")

    def _made(self) -> Pipeline:
        import ray

        work: Work = ray.get(self._sent)
        kind = ENGINES.get(work.engine)
        if why := kind.missing():
            raise ConfigError(
                f"The engine {work.engine} cannot be used on a worker: {why}.",
                fix="leave --engine out, or install it on every machine of the cluster",
            )
        here = _versions()
        for name in ("headstart", work.engine):
            there = self._versions.get(name, here[name])
            if here[name] != there:
                raise ConfigError(
                    f"{name} is {there} here and {here[name]} on a worker, "
                    "so features would not be the same.",
                    fix=f"install the same {name} on every machine of the cluster",
                )
        engine = kind(work.graph, parallel=1, precision=work.precision)
        return Pipeline(
            work.preprocess,
            engine,
            work.tokenizer,
            work.output,
            workers=1,
            with_features=work.with_features,
        )

    def _answer(self, packet: Packet, bad: dict[int, str]) -> dict[str, Any]:
        assert self._pipeline is not None
        batches = list(self._pipeline.run([packet]))
        full = [batch for batch in batches if batch.rows]
        bad = {**bad, **{row: why for batch in batches for row, why in batch.unreadable.items()}}
        return {
            **_empty(),
            "rows": [row for batch in full for row in batch.rows],
            "notes": [note for batch in full for note in batch.notes],
            "values": _bytes([batch.values for batch in full]),
            "features": _bytes([batch.features for batch in full if batch.features is not None]),
            "bad": list(bad),
            "reasons": list(bad.values()),
        }


def _bytes(arrays: list[np.ndarray]) -> bytes:
    return np.concatenate(arrays).astype("<f4").tobytes() if arrays else b""


def _empty(error: str = "", fix: str = "") -> dict[str, Any]:
    return {
        "rows": [],
        "notes": [],
        "values": b"",
        "features": b"",
        "bad": [],
        "reasons": [],
        "error": error,
        "fix": fix,
    }


def _answers() -> Any:
    """Columns of an answer; the shape of `values`, and of `features`, is (rows, bytes / 4 / rows)."""
    import pyarrow as pa

    return pa.schema(
        {
            "rows": pa.list_(pa.int64()),
            "notes": pa.list_(pa.string()),
            "values": pa.large_binary(),
            "features": pa.large_binary(),
            "bad": pa.list_(pa.int64()),
            "reasons": pa.list_(pa.string()),
            "error": pa.string(),
            "fix": pa.string(),
        }
    )


def _batch(row: dict[str, Any]) -> Batch:
    """An answer as what the pipeline gives."""
    if row["error"]:
        raise BackboneError(row["error"], fix=row["fix"])
    n = len(row["rows"])
    return Batch(
        row["rows"],
        _array(row["values"], n),
        row["notes"],
        dict(zip(row["bad"], row["reasons"])),
        _array(row["features"], n) if row["features"] else None,
    )


def _array(data: bytes, n: int) -> np.ndarray:
    values = np.frombuffer(data, dtype="<f4").astype(np.float32)
    return values.reshape(n, -1) if n else np.zeros((0, 0), np.float32)


_BYTES_KIND, _TEXT_KIND, _PIXELS_KIND, _BROKEN_KIND = range(4)


def _block(packet: Packet) -> Any:
    """A packet as a table of one row, which Ray Data never tears apart."""
    import pyarrow as pa

    sent = [_sent(content) for _, content in packet]
    row = {
        "rows": [row for row, _ in packet],
        "kinds": [kind for kind, _ in sent],
        "contents": [data for _, data in sent],
    }
    schema = pa.schema(
        {
            "rows": pa.list_(pa.int64()),
            "kinds": pa.list_(pa.int8()),
            "contents": pa.large_list(pa.large_binary()),
        }
    )
    return pa.Table.from_pylist([row], schema=schema)


def _sent(content: Any) -> tuple[int, bytes]:
    """A content as it travels."""
    if isinstance(content, bytes):
        return _BYTES_KIND, content
    if isinstance(content, str):
        return _TEXT_KIND, content.encode()
    try:
        picture, _ = image.open_image(content)  # one in memory travels as its pixels
    except UnreadableInput as error:
        return _BROKEN_KIND, error.reason.encode()
    pixels = np.asarray(picture)  # uint8 (h, w, 3)
    return _PIXELS_KIND, len(pixels).to_bytes(8, "little") + pixels.tobytes()


def _packet(row: dict[str, Any]) -> tuple[list[tuple[int, Any]], dict[int, str]]:
    """The inverse of `_block`, and the reasons of what could not be sent."""
    packet: list[tuple[int, Any]] = []
    bad: dict[int, str] = {}
    for number, kind, data in zip(row["rows"], row["kinds"], row["contents"]):
        if kind == _BROKEN_KIND:
            bad[number] = data.decode()
        elif kind == _PIXELS_KIND:
            height, pixels = (
                int.from_bytes(data[:8], "little"),
                np.frombuffer(data, np.uint8, -1, 8),
            )
            packet.append((number, pixels.reshape(height, -1, 3)))
        else:
            packet.append((number, data.decode() if kind == _TEXT_KIND else data))
    return packet, bad


def _versions() -> dict[str, str]:
    """Of Headstart and of the engines that are here: the last bits depend on them."""
    kinds = {name: ENGINES.get(name) for name in ENGINES.names()}
    found = {name: kind.version() for name, kind in kinds.items() if not kind.missing()}
    return {"headstart": headstart.__version__, **found}


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; what was started here is stopped, a cluster that was joined goes on."""
    ray = _ray(local=address == "local")
    if ray.is_initialized():  # the caller's connection is the caller's
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with _hushed():
            if address == "local":
                _start(ray, quiet)
            else:
                _join(ray, address, quiet)
        yield ray
    finally:
        ray.shutdown()


def _ray(local: bool) -> Any:
    """The module, told to send no usage reports and to keep its notices and bars to itself."""
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra("Ray", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # the newer way, without a notice
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ part writes past Python
    if local:
        # a cluster of one machine listens on loopback; Ray asks for this under the name of the
        # systems where it is the default
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("Ray Data", "ray") from error
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)  # its log file keeps everything
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what Ray's C++ part writes to the standard error file while it starts."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _start(ray: Any, quiet: dict[str, Any]) -> None:
    """A cluster on this machine, for this run, that listens on loopback only."""
    try:
        ray.init(
            address="local",
            num_cpus=threads(),
            include_dashboard=False,
            _node_ip_address=_LOOPBACK,
            **quiet,
        )
    except Exception as error:
        raise ConfigError(
            f"Ray could not be started on this machine: {_line(error)}",
            fix="run without --cluster, or start it yourself: ray start --head",
        ) from error
    if (found := ray.util.get_node_ip_address()) != _LOOPBACK:
        raise ConfigError(
            f"Ray would listen on {found}, open to the network, as it was imported before Headstart.",
            fix="connect to a cluster first with ray.init(), or import ray after this",
        )


def _join(ray: Any, address: str, quiet: dict[str, Any]) -> None:
    """A connection to a cluster that runs already."""
    if address == "auto":  # as Ray reads it; asked here first, as Ray waits for minutes
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address.startswith("ray://"):
        raise ConfigError(
            f"--cluster {address}: Ray Data does not work through the Ray Client (ray://).",
            fix="run this on a machine of the cluster with --cluster auto, or send it there: "
            "ray job submit -- headstart ...",
        )
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()
        ray.init(address=address, **quiet)
    except ValueError as error:
        raise ConfigError(
            f"--cluster {address}: not an address.", fix="use auto, local or HOST:PORT"
        ) from error
    except Exception as error:
        told = f"No Ray cluster can be joined at {address}: {' '.join(str(error).split())[:300]}"
        if address == "auto" and isinstance(error, ConnectionError):
            told = "No Ray cluster runs on this machine, and RAY_ADDRESS names none."
        raise ConfigError(
            told, fix="start one with ray start --head, or use --cluster local"
        ) from error


def _failed(error: Exception) -> HeadstartError:
    return BackboneError(
        f"The cluster could not compute the features: {_line(error)}",
        fix="check that headstart[ray] is installed on every machine and that memory suffices; "
        "what is done is kept, so run it again",
    )


def _line(error: Exception) -> str:
    """The last line that says something: Ray puts the worker's traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
