"""Programs as exported ONNX graphs, run by ONNX Runtime on one thread each."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from node_model.errors import ArtifactError
from node_model.manifest import Manifest, ProgramSpec, verified_bytes
from service.engine.stepper import CARRIED, LIMITS, Array, Lanes, Rows, Stepped, Terms

STEP_INPUTS = (*(f"{name}_in" for name in CARRIED), *LIMITS)
STEP_OUTPUTS = (*CARRIED, "status", "ratio", "err_norm")
START_INPUTS = ("y", "t", "t_end", "max_nfe")
START_OUTPUTS = ("f", "nfe", "status")

ERRORS_ONLY = 3

_CPU = onnxruntime.OrtMemoryInfo(
    "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
)
# One arena for every session of the process. With one each they keep what their widest step once needed, all at once.
onnxruntime.create_and_register_allocator(_CPU, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


class OnnxStepper:
    """The four graphs of a program. One session per graph serves all threads: `run` is thread-safe."""

    def __init__(self, directory: Path, manifest: Manifest, program: str) -> None:
        """Load the graphs from the very bytes whose hash was checked.

        Errors: ArtifactError naming the file that is missing, altered, no graph, or has other inputs than expected; or
            the program, where it was packed without graphs.
        """
        self._spec = spec = manifest.programs[program]
        graphs = manifest.graphs_of(program)
        args = tuple(arg.name for arg in spec.args)
        self._step_inputs = (*STEP_INPUTS, *args)
        self._start_inputs = (*START_INPUTS, *args)
        self._outputs = [output.name for output in spec.outputs]

        def load(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
            return _session(directory / name, verified_bytes(directory, manifest, name), inputs, outputs)

        self._encode = load(graphs.encode, (spec.input.name,), ("y",))
        self._start = load(graphs.start, self._start_inputs, START_OUTPUTS)
        self._decode = load(graphs.decode, ("y",), tuple(self._outputs))
        self._steps = {method: load(name, self._step_inputs, STEP_OUTPUTS) for method, name in graphs.step.items()}

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def start(self, rows: Rows) -> Stepped:
        count, (t0, t_end), terms = len(rows.inputs), self._spec.interval, rows.terms
        y = self._encode.run(("y",), {self._spec.input.name: rows.inputs})[0]
        t, ends = np.full(count, t0), np.full(count, t_end) if terms.t_end is None else terms.t_end
        feed = dict(zip(self._start_inputs, (y, t, ends, terms.max_nfe, *rows.args), strict=True))
        f, nfe, status = self._start.run(START_OUTPUTS, feed)
        accepted, none, zeros = np.ones(count, np.bool_), np.zeros(count, np.int64), np.zeros(count)
        limits = (ends, terms.rtol, terms.atol, terms.max_nfe)
        lanes = Lanes._make((y, f, t, terms.first_dt, accepted, none, nfe, *limits, rows.args))
        return Stepped(lanes, status, t, nfe, accepted, zeros, zeros)

    def restart(self, lanes: Lanes, terms: Terms) -> Stepped:
        none, zeros = np.zeros(len(lanes.t), np.int64), np.zeros(len(lanes.t))
        begun = lanes._replace(dt=terms.first_dt, nfe=none, rtol=terms.rtol, atol=terms.atol, max_nfe=terms.max_nfe)
        return Stepped(begun, none, lanes.t, none, lanes.accepted, zeros, zeros)

    def step(self, method: str, lanes: Lanes) -> Stepped:
        feed = dict(zip(self._step_inputs, (*lanes[:-1], *lanes.args), strict=True))
        *carried, status, ratio, err_norm = self._steps[method].run(STEP_OUTPUTS, feed)
        after = Lanes._make((*carried, *lanes[len(carried) :]))
        return Stepped(after, status, after.t, after.nfe, after.accepted, err_norm, ratio)

    def onward(self, lanes: Lanes, index: Array, t_end: Array) -> Lanes:
        ends, accepted = lanes.t_end.copy(), lanes.accepted.copy()
        ends[index] = t_end
        # A lane that found itself at its stop made no attempt, hence no rejection that dt should heed.
        accepted[index] = True
        return lanes._replace(t_end=ends, accepted=accepted)

    def select(self, lanes: Lanes, index: Array) -> Lanes:
        args = tuple(array[index] for array in lanes.args)
        return Lanes._make((*(array[index] for array in lanes[:-1]), args))

    def join(self, *parts: Lanes) -> Lanes:
        *columns, args = zip(*parts, strict=True)
        joined_args = tuple(map(np.concatenate, zip(*args, strict=True)))
        return Lanes._make((*map(np.concatenate, columns), joined_args))

    def peek(self, lanes: Lanes, names: tuple[str, ...]) -> tuple[Array, ...]:
        return tuple(getattr(lanes, name) for name in names)

    def decode(self, y: Any) -> tuple[Array, ...]:
        return tuple(self._decode.run(self._outputs, {"y": y}))


def _session(path: Path, content: bytes, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    options = onnxruntime.SessionOptions()
    # A shard is a thread of its own: threads inside a session would only fight for the same cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = ERRORS_ONLY
    # Weights in further files would escape the hashes: the only folder they may lie in is one that cannot be.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path))
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception class of its own for each status, without a base
        raise ArtifactError(f"{path}: no graph that ONNX Runtime can load: {str(error).splitlines()[0]}") from error
    found = [{value.name for value in values} for values in (session.get_inputs(), session.get_outputs())]
    if found != [set(inputs), set(outputs)]:
        raise ArtifactError(
            f"{path}: expected inputs {', '.join(inputs)} and outputs {', '.join(outputs)}; "
            f"got {', '.join(sorted(found[0]))} and {', '.join(sorted(found[1]))}"
        )
    return session
