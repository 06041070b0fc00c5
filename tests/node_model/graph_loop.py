"""The smallest host around exported graphs: numpy, ONNX Runtime and a loop. A reference, not the server."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from node_model.export import CARRIED, LIMITS, STEP_OUTPUTS
from node_model.manifest import Graphs
from node_model.status import Status


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Host:
    """The sessions of one program."""

    encode: ort.InferenceSession
    start: ort.InferenceSession
    step: dict[str, ort.InferenceSession]
    decode: ort.InferenceSession

    @classmethod
    def of(cls, directory: Path, graphs: Graphs) -> "Host":
        return cls(
            encode=session(directory / graphs.encode),
            start=session(directory / graphs.start),
            step={method: session(directory / path) for method, path in graphs.step.items()},
            decode=session(directory / graphs.decode),
        )

    def solve(self, method, *, y, t, t_end, dt, rtol, atol, max_nfe, args):
        """Every lane to its end; only running lanes are given to a step. -> y, t, nfe, status, trace of attempts."""
        limits = {"t_end": t_end, "rtol": rtol, "atol": atol, "max_nfe": max_nfe}
        f, nfe, status = self.start.run(None, {"y": y, "t": t, "t_end": t_end, "max_nfe": max_nfe, **args})
        lanes = {
            "y": y.copy(),
            "f": f,
            "t": t.copy(),
            "dt": dt.copy(),
            "accepted": np.ones(len(y), bool),
            "nonfinite": np.zeros(len(y), np.int64),
            "nfe": nfe,
            "status": status,
        }
        attempts = [[] for _ in y]
        while (running := np.flatnonzero(lanes["status"] == Status.RUNNING)).size:
            feed = {f"{name}_in": lanes[name][running] for name in CARRIED}
            feed |= {name: limits[name][running] for name in LIMITS}
            feed |= {name: value[running] for name, value in args.items()}
            out = dict(zip(STEP_OUTPUTS, self.step[method].run(None, feed), strict=True))
            for name in (*CARRIED, "status"):
                lanes[name][running] = out[name]
            for row, lane in enumerate(running):
                attempts[lane].append((out["t"][row], out["dt"][row], out["accepted"][row], out["ratio"][row]))
        return lanes, attempts
