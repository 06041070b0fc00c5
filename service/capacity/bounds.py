"""What can be said of a plan before anything is simulated: that it is not known, not to be had, or too large to try."""

from node_model.calibrated import measured_rows
from service.capacity.mix import Mix
from service.capacity.replica import UnreachableError
from service.engine.program import ServedProgram

MOST_TURNS = 16_000
"""Steps of a shard in one simulated run, of which a plan takes about ten. Some tenths of a millisecond each."""
LEAST_REQUESTS = 160
"""Of a run, of which the beginning is not looked at: with fewer their 99th percentile means nothing."""
RARE = 0.02
"""Share of requests that may be later than the target on an average: of them every other one is, and 1 % may be."""


class UncalibratedError(ValueError):
    """Nobody has measured how many evaluations that takes; the message says what was."""


class TooLargeError(ValueError):
    """A request is more work than can be simulated; the message says how much is possible."""


def check_calibrated(program: ServedProgram, mix: Mix) -> None:
    """Whether the table tells what each tolerance costs. Errors: UncalibratedError."""
    calibration = program.spec.calibration
    if calibration is None or all(row.skipped is not None for row in calibration.rows):
        raise UncalibratedError(
            f"{program.model} has no calibration table, so nobody knows how many evaluations an answer takes; "
            "odetrain calibrate measures one"
        )
    for tol in mix.tols:
        method = program.cost.cheapest_method(tol, tol)
        if not (program.cost.nfe_mean(method, tol) and program.cost.nfe_p99(method, tol)):
            rows = [row.tol for row in measured_rows(program.spec, method) if row.nfe_mean and row.nfe_p99]
            measured = f"from {rows[0]:g} to {rows[-1]:g}" if rows else "nothing"
            raise UncalibratedError(
                f"--mix: tolerance {tol:g}: the table of {program.model} has {measured} for {method}; expected a "
                "tolerance that was measured, or a longer table (odetrain calibrate)"
            )


def counted_as(program: ServedProgram, method: str, tol: float) -> float:
    """The tolerance that a cost is of: for what is looser than all rows the loosest, since it costs no more than that.

    The program: one that has been found to be calibrated.
    """
    return min(tol, measured_rows(program.spec, method)[-1].tol)


def check_reachable(program: ServedProgram, mix: Mix, items: int, shards: int, beside: float, target: float) -> None:
    """Whether a request alone, solved by all shards in steps of full width, can be in time.

    Units: `beside`, what it costs outside the engine, and `target` in seconds. Errors: UnreachableError.
    """
    alone = {}
    for tol in mix.tols:
        method = program.cost.cheapest_method(tol, tol)
        # An item is never on two shards.
        alone[tol] = (program.work(items, method, tol) + beside) / min(shards, items)
    late = sum(share for tol, share in zip(mix.tols, mix.shares, strict=True) if alone[tol] > target)
    if late > RARE:
        slowest = max(alone, key=alone.__getitem__)
        raise UnreachableError(
            f"a request alone on an idle replica takes at least {1e3 * alone[slowest]:.4g} ms at tolerance "
            f"{slowest:g}: expected --p99-ms above that, looser tolerances, faster cores or fewer items a request"
        )


def simulated_requests(program: ServedProgram, mix: Mix, items: int, wanted: int) -> int:
    """How many requests a run has, so that it ends soon. Errors: TooLargeError."""
    turns = 0.0
    for tol, share in zip(mix.tols, mix.shares, strict=True):
        method = program.cost.cheapest_method(tol, tol)
        spec = program.spec.methods[method]
        attempts = max(1.0, (program.nfe(method, tol) - spec.nfe_start) / spec.nfe_attempt)
        turns += share * attempts * max(1.0, items / program.lanes[method])
    possible = int(MOST_TURNS / turns)
    if possible < LEAST_REQUESTS:
        most = int(items * possible / LEAST_REQUESTS)
        expected = f"expected --items up to about {most}" if most else "expected looser tolerances"
        raise TooLargeError(f"a request of {items} items is {turns:,.0f} steps, too many to simulate: {expected}")
    return min(wanted, possible)
