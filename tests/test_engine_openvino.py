"""OpenVINO: what it is asked for is what it computes in, every name of a port is known, nobody is called."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("openvino", reason="needs the extra headstart[openvino]")

from headstart.engine.openvino_cpu import OpenVinoEngine
from headstart.errors import ConfigError


def graph():
    """y = relu(x), and z = y under another name: both share one port after fusing."""
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("Identity", ["inner"], ["features"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_an_output_is_found_by_its_name_and_stays_as_it_was():
    engine = OpenVinoEngine(graph())
    first = engine.run({"x": np.float32([[-1, 2, 3]])})["features"]
    engine.run({"x": np.float32([[5, 5, 5], [6, 6, 6]])})
    assert first.tolist() == [[0, 2, 3]]


def test_a_precision_that_the_processor_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(OpenVinoEngine, "precisions", staticmethod(lambda: ("float32",)))
    with pytest.raises(ConfigError, match="computes in float32 on this processor, not in bfloat16"):
        OpenVinoEngine(graph(), precision="bfloat16")


def test_it_calls_nobody(tmp_path):
    (tmp_path / "g.onnx").write_bytes(graph())
    code = (
        "import sys\n"
        "calls = []\n"
        "watched = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'subprocess.Popen')\n"
        "sys.addaudithook(lambda event, _: calls.append(event) if event in watched else None)\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from headstart.engine.openvino_cpu import OpenVinoEngine\n"
        "engine = OpenVinoEngine(Path(sys.argv[1]))\n"
        "engine.run({'x': np.zeros((1, 3), np.float32)})\n"
        "sys.exit(' '.join(calls) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(tmp_path / "g.onnx"))],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
