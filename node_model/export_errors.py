"""Why a module could not be exported, in a sentence: which operator or which line of whose code."""

import re
import traceback
from pathlib import Path
from types import TracebackType

from torch.fx import Node

_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
_DATA_DEPENDENT = re.compile(r"data-dependent|\bSym(Bool|Int|Float)\b")
_NUMPY = ".numpy() is not supported"
_LINE = re.compile(r'File "([^"]+)", line (\d+), in ([\w<>]+)\n\s+(.+)')


def explained(error: BaseException) -> str:
    """Of an error that torch.onnx.export raised: the operator, and the line that called it where that is known."""
    chain = list(_chain(error))
    for one in chain:
        found = _OPERATOR.search(str(one))
        if found:
            return f"operator {found[1]} has no form in ONNX{_called_at(chain)}"
    for one in chain:
        if _DATA_DEPENDENT.search(str(one)):
            return f"what is computed depends on the data (an if, a loop or a shape made of numbers){_called_at(chain)}"
        if _NUMPY in str(one):
            return f"numpy computes something in it; let torch do that{_called_at(chain)}"
    innermost = chain[-1]
    words = str(innermost).strip().partition("\n")[0]
    return f"{type(innermost).__name__}{': ' if words else ''}{words}{_called_at(chain)}"


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and those that led to it, the last being the first that happened."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _called_at(chain: list[BaseException]) -> str:
    """`, at FILE:LINE in NAME: CODE`: the innermost line that is noted."""
    notes = [trace for one in chain if (trace := _node_trace(one.__traceback__))]
    notes += [str(one) for one in reversed(chain)]
    for note in notes:
        lines = [found for found in _LINE.findall(note) if "/torch/" not in found[0]]
        if lines:
            file, line, function, code = lines[-1]
            return f", at {file}:{line} in {function}: {code.strip()}"
    frames = [frame for one in chain for frame in traceback.extract_tb(one.__traceback__) if _is_users(frame.filename)]
    if frames:
        return f", at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}: {frames[-1].line}"
    return ""


def _is_users(file: str) -> bool:
    """Whether code is neither a library's, nor ours, nor made on the way."""
    path = Path(file)
    return not file.startswith("<") and "site-packages" not in path.parts and path.parent not in _OURS


_OURS = (Path(__file__).parent, Path(__file__).parent / "solvers")


def _node_trace(traceback: TracebackType | None) -> str | None:
    """Where the operator that was being translated was called: the exporter's frames hold it."""
    found = None
    while traceback is not None:
        for value in traceback.tb_frame.f_locals.values():
            if isinstance(value, Node) and value.stack_trace:
                found = value.stack_trace
        traceback = traceback.tb_next
    return found
