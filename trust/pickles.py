"""Pickles that would run something, planted wherever a file is read (R14), and what loading does (R15)."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from headstart.errors import HeadstartError, UnreadableInput
from headstart.hashing import hash_parts
from trust import bundles
from trust.table import Outcome, environment, golden, importable


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _call(module: str, name: str, *arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def bodies(marker: Path) -> dict[str, bytes]:
    """Pickles that make the marker file when they are loaded, each by another way; no pickle made them."""
    path, touch = str(marker), f"open({str(marker)!r}, 'w').close()"
    shell = f"echo > '{path}'"
    calls = {
        "os.system": _call("os", "system", _text(shell)),
        "posix.system": _call("posix", "system", _text(shell)),
        "eval": _call("builtins", "eval", _text(touch)),
        "exec": _call("builtins", "exec", _text(touch)),
        "open": _call("builtins", "open", _text(path), _text("w")),
        "subprocess": _call("subprocess", "getoutput", _text(shell)),
        "pathlib": _text("pathlib") + _text("Path.touch") + b"\x93("
        + _call("pathlib", "Path", _text(path)) + b"tR",
        "numpy": _call("numpy.testing._private.utils", "runstring", _text(touch), b"}"),
        "numpy builtins": _call("numpy", "__builtins__", _text("eval")),
        "pdb": _call("pdb", "run", _text(touch)),
        "timeit": _call("timeit", "timeit", _text(touch), b"K\x01"),
        "runpy": _call("runpy", "run_path", _text(path)),
        "stack global": _text("builtins") + _text("eval") + b"\x93(" + _text(touch) + b"tR",
        "new object": b"cpathlib\nPath\n(" + _text(path) + b"t\x81",
        "old instance": b"(" + _text(path) + _text("w") + b"ibuiltins\nopen\n",
        "torch.load": _call("torch", "load", _text(path)),
        "build": b"ccollections\nOrderedDict\n)R}" + _text("x") + _call("os", "system", _text(shell)) + b"sb",
        "nested": b"](](" + _call("os", "system", _text(shell)) + b"ee",
        "in a dictionary": b"}(" + _text("head.weight") + _call("os", "system", _text(shell)) + b"u",
        "memo": _call("os", "system", _text(shell)) + b"q\0h\0\x86",
    }  # fmt: skip
    return {name: b"\x80\x04" + body + b"." for name, body in calls.items()}


def _npy(body: bytes) -> bytes:
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def _torch_zip(body: bytes) -> bytes:
    return bundles.archive([("archive/data.pkl", body), ("archive/version", b"3\n")])


def _torch_stream(body: bytes) -> bytes:
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    return magic + b"\x80\x02}(" + _text("little_endian") + b"\x88u." + body


def _flagged(body: bytes) -> bytes:
    """A zip with the bit "encrypted" set, which some scanners then skip."""
    return bundles._flag(_torch_zip(body))


WRAPPERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda body: body,
    "npy": _npy,
    "npz": lambda body: bundles.archive([("a.npy", _npy(body))]),
    "torch": _torch_zip,
    "old torch": _torch_stream,
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "zlib": zlib.compress,
    "flagged zip": _flagged,
    "behind a picture": lambda body: b"\x89PNG\r\n\x1a\n" + body,
    "7z": lambda body: b"7z\xbc\xaf\x27\x1c" + body,
}


def _bundle_places(data: bytes, work: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """As every file of a bundle, with sums that hold, as folder and as archive."""
    files = bundles.contents()
    for name in files:
        if name == "bundle.json":
            planted = {**files, name: data}
        else:
            planted = bundles.signed({**files, name: data}, bundles.manifest_of(files))
        for place in ("m", "m.headstart"):
            path = bundles.write(work / place, planted)
            yield f"{name} of a bundle", lambda path=path: _loaded(path)  # type: ignore[misc]
    extra = bundles.write(
        work / "m.headstart", {**files, "data.pkl": data, "sitecustomize.py": data}
    )
    yield "beside a bundle's files", lambda: _loaded(extra)


def _loaded(path: Path) -> None:
    """All that is ever read of a bundle."""
    from headstart.manifest import load_tensors
    from headstart.report import page
    from headstart.runtime.predictor import BundlePredictor

    predictor = BundlePredictor(path)
    predictor.predict(["a text"])
    load_tensors(predictor.files.read("weights.safetensors"), "weights.safetensors")
    page.read(predictor.files.read("report.html").decode("utf-8", "replace"))


def _cache_places(data: bytes, work: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """As every file of the cache."""
    import headstart as hs
    from headstart.compute import cache_dir

    rows = [(f"{('lovely', 'awful')[i % 2]} {i}", ("good", "bad")[i % 2]) for i in range(24)]
    shelf = cache_dir() / "graphs" / hash_parts(["1", "tiny:text"])[:32]
    places = [shelf / name for name in ("backbone.json", "tokenizer.json", "graph.onnx")]
    store = cache_dir() / "features"
    for path in [*places, store / "index.sqlite", store / "limit.json"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        yield f"{path.name} of the cache", lambda: hs.fit(rows, backbone="tiny:text")
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


def _data_places(data: bytes, work: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """As data of every name ending, as a picture, and as weights."""
    from headstart.backbones import tensorfile
    from headstart.data.table import read
    from headstart.preprocess import image

    endings = (
        ".npy",
        ".npz",
        ".pkl",
        ".pickle",
        ".csv",
        ".json",
        ".jsonl",
        ".parquet",
        ".tsv",
        ".pt",
    )
    for ending in endings:
        path = work / f"data{ending}"
        path.write_bytes(data)
        yield f"data{ending}", lambda path=path: read(path)  # type: ignore[misc]
    yield "a picture", lambda: image.open_image(data)
    yield "weights.pth", lambda: tensorfile.read(data)


def zoo(count: int, work: Path) -> Outcome:
    """Pickles, wrapped in every way, in every place that a file is read from; none may run.

    Args:
        count: pickles in wrappers; each goes to every place.
        work: an empty folder.
    """
    importable()
    marker = work / "marker"
    made = bodies(marker)
    every = [(name, way) for way in WRAPPERS for name in made]
    chosen = np.random.default_rng(11).permutation(len(every))[:count]
    bad: list[str] = []
    done = 0
    for i in chosen.tolist():
        name, way = every[i]
        data = WRAPPERS[way](made[name])
        places = [_bundle_places, _data_places, *([_cache_places] if i % 10 == 0 else [])]
        for where, take in (case for places_of in places for case in places_of(data, work)):
            done += 1
            try:
                take()
            except (HeadstartError, UnreadableInput):
                pass
            except Exception as error:
                bad.append(f"{name}, {way}, {where}: {type(error).__name__}: {error}"[:250])
            if marker.exists():
                bad.append(f"{name}, {way}, {where}: it ran")
                marker.unlink()
    ran = sum(fault.endswith("it ran") for fault in bad)
    told = f"{len(chosen)} pickles in {done:,} places, {ran} ran, {len(bad) - ran} other faults"
    return Outcome(len(chosen), tuple(bad[:100]), told)


# --- what loading does --------------------------------------------------------------------------

_AUDITED = """
import json, sys
from pathlib import Path
import numpy as np
from headstart.errors import HeadstartError
import headstart as hs
from headstart.backbones import shelf
asked = {"image": [np.zeros((8, 8, 3), np.uint8)], "text": ["a text"]}
for sound in sys.argv[2:]:
    model = hs.load(sound)
    model.predict(asked[model.predictor.modality])
try:
    hs.load(sys.argv[1] + "/none")
except HeadstartError:
    pass
events, allowed = [], ("headstart", "PIL", "encodings")
WATCHED = ("import", "exec", "compile", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty",
           "os.posix_spawn", "os.spawn", "socket.connect", "socket.getaddrinfo", "socket.bind", "ctypes.dlopen",
           "pickle.find_class", "marshal.loads", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree", "os.symlink")
on = True
def watch(name, arguments):
    if not on: return
    if name == "open":
        mode = arguments[1]
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & 0o1103:
            events.append(f"{now}: open for writing {arguments[0]!r}")
    elif name in WATCHED:
        what = str(arguments[0])
        if name in ("import", "exec", "compile") and (what.split(".")[0] in allowed or "/headstart/" in what
                                                      or "/PIL/" in what or "frozen" in what):
            return
        if name == "exec" and any(f"/{one}/" in what for one in ("headstart", "PIL", "encodings", "python3")):
            return
        events.append(f"{now}: {name} {what[:150]}")
now = ""
sys.addaudithook(watch)
faults = []
for path in sorted(Path(sys.argv[1]).iterdir()):
    now = path.name
    try:
        if path.suffix == ".json":
            cache = Path(sys.argv[1]).parent / "cache"
            shelf.take("tiny:text")
        else:
            model = hs.load(path)
            model.predict(asked[model.predictor.modality])
    except HeadstartError:
        pass
    except Exception as error:
        faults.append(f"{path.name}: {type(error).__name__}: {error}"[:200])
on = False
print(json.dumps({"events": events, "faults": faults}))
"""

_HOSTILE = {
    "auto_map": {"AutoModel": "evil.py--EvilModel", "AutoConfig": "evil--Config"},
    "trust_remote_code": True,
    "_attn_implementation_internal": "evil/kernels",
    "attn_implementation": "evil/kernels:run",
    "custom_pipelines": {"classify": {"impl": "evil.Pipe", "pt": ["AutoModel"]}},
    "_name_or_path": "http://127.0.0.1:9/evil",
    "architectures": ["os.system"],
    "quantization_config": {"quant_method": "evil", "modules": ["evil"]},
    "plugins": ["evil:run"],
    "__class__": "evil.Model",
    "__reduce__": ["os.system", ["touch evil"]],
    "py/object": "os.system",
    "module": "evil",
    "entry_points": {"headstart.backbones": ["evil:load"]},
    "url": "https://127.0.0.1:9/evil.bin",
    "command": "$(touch evil); `touch evil`",
    "source": "file:///etc/passwd",
    "loader": "headstart_test_plugin:load",
    "engine": "evil.engine:Engine",
    "post_install": "import os; os.system('touch evil')",
}


def _hostile_configs(folder: Path, count: int) -> int:
    """Bundles with fields that would make other libraries run code, as folders with code beside."""
    files = bundles.contents()
    done = 0
    for place in ("", "backbone", "task", "preprocess", "decision"):
        for key, value in _HOSTILE.items():
            if done == count:
                return done
            manifest = bundles.manifest_of(files)
            (manifest[place] if place else manifest)[key] = value
            path = folder / f"{done:03}"
            bundles.write(path, {**files, "bundle.json": bundles.sealed(manifest)})
            for name in ("evil.py", "__init__.py", "conftest.py", "sitecustomize.py", "config.py"):
                (path / name).write_text("open('evil', 'w').close()\n")
            done += 1
    return done


def audited(count: int, work: Path) -> Outcome:
    """What the interpreter is asked to do while hostile bundles are loaded; code lies beside them."""
    folder = work / "hostile"
    folder.mkdir()
    done = _hostile_configs(folder, count)
    sound = [str(golden(name)) for name in ("text.headstart", "image.headstart", "text")]
    run = subprocess.run(
        [sys.executable, "-c", _AUDITED, str(folder), *sound],
        cwd=folder,
        env=environment(HF_HUB_OFFLINE="1", HEADSTART_CACHE=str(work / "cache")),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if run.returncode:
        return Outcome(done, (f"the process failed: {run.stderr[-500:]}",))
    told = json.loads(run.stdout)
    bad = [*told["events"], *told["faults"]]
    bad += [f"it ran: {path}" for path in work.rglob("evil")]
    return Outcome(done, tuple(bad[:100]), f"{done} hostile configurations, {len(bad)} events")
