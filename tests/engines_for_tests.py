"""Engines that are wrong on purpose, for the tests of the choice between engines."""

import time

import numpy as np

from headstart.engine.ort import OrtEngine
from headstart.errors import BackboneError


class Base:
    """onnxruntime under another name."""

    name = "base"
    batch = 1
    able = ("float32",)

    def __init__(self, graph, parallel=None, precision="float32"):
        self.inner = OrtEngine(graph, 1)
        self.parallel = parallel or 2
        self.precision = precision

    @staticmethod
    def missing():
        return ""

    @classmethod
    def precisions(cls):
        return cls.able

    @staticmethod
    def version():
        return "1"

    def run(self, feeds):
        return self.inner.run(feeds)


class Quick(Base):
    """Answers from memory, so that it is always the quickest."""

    name = "quick"

    def __init__(self, graph, parallel=None, precision="float32"):
        super().__init__(graph, parallel, precision)
        self.known = {}

    def run(self, feeds):
        key = tuple(array.tobytes() for array in feeds.values())
        if key not in self.known:
            self.known[key] = self.inner.run(feeds)
        return self.known[key]


class Slow(Base):
    name = "slow"

    def run(self, feeds):
        time.sleep(0.02)
        return self.inner.run(feeds)


class Unloadable(Base):
    name = "unloadable"

    def __init__(self, graph, parallel=None, precision="float32"):
        raise BackboneError("unloadable cannot load the graph: no reason", fix="use another")


class Failing(Quick):
    """Loads, is measured as the quickest, and fails at its fifth batch of new inputs."""

    name = "failing"

    def run(self, feeds):
        answer = super().run(feeds)
        if len(self.known) >= 5:
            raise RuntimeError("device lost\nwith a long trace")
        return answer


class Absent(Base):
    name = "absent"

    @staticmethod
    def missing():
        return "it is not installed (pip install absent)"


class Rounded(Quick):
    """bfloat16: the lower 16 bits of every feature are cut off."""

    name = "rounded"
    able = ("float32", "bfloat16")

    def run(self, feeds):
        answer = dict(super().run(feeds))
        if self.precision == "bfloat16":
            answer["features"] = (answer["features"].view(np.uint32) & 0xFFFF0000).view(np.float32)
        return answer


class Ruined(Rounded):
    """Claims bfloat16 and gives noise."""

    name = "ruined"

    def run(self, feeds):
        answer = dict(super().run(feeds))
        if self.precision == "bfloat16":
            draw = np.random.default_rng(0)
            answer["features"] = draw.normal(size=answer["features"].shape).astype(np.float32)
        return answer


class Wrong(Quick):
    """The quickest, and a little off in one number."""

    name = "wrong"

    def run(self, feeds):
        answer = {name: values.copy() for name, values in super().run(feeds).items()}
        answer["features"][0, 0] += 0.05
        return answer
