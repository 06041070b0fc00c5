"""How fast Python is here: what requests take beside the engine was measured on one machine and is asked of others."""

import json
import statistics
import time

ROUNDS = 40
_BODY = json.dumps({"input": [[row * column / 784 for column in range(28)] for row in range(28)]})


def interpreter_seconds() -> float:
    """What some reading, looping and writing takes, much like a request's. Units: seconds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        rows = json.loads(_BODY)["input"]
        shown = {f"row-{number}": sum(row) for number, row in enumerate(rows)}
        for name, total in sorted(shown.items(), key=lambda pair: pair[1]):
            shown[name] = total / len(rows)
        json.dumps({"input": rows, "shown": shown})
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
