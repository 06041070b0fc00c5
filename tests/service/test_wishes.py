"""What a query allows: which tolerances will do, by which method."""

from types import SimpleNamespace

import pytest
from test_cost import table

from service.api.parameters import SOLVER, Parameters
from service.api.wishes import read_wishes
from service.engine.program import ServedProgram
from service.engine.speed import Speed

EVALUATION = {"bosh3": 1e-4, "dopri5": 1e-4}


def tolerances(costs, query):
    """rtol of every way, as asked first."""
    speed = Speed(1e-9, EVALUATION, {method: {1: 1e-3} for method in EVALUATION})
    program = ServedProgram("m", "m", SimpleNamespace(spec=costs._spec), costs, speed, dict.fromkeys(EVALUATION, 8))
    wishes = read_wishes(Parameters(query.items(), SOLVER), program, most_nfe=10_000, most_seconds=60.0, may_auto=False)
    return [way.rtol for way in wishes.ways]


EACH_CHEAPER = table(("dopri5", 1e-1, 7, 0.1), ("dopri5", 1e-2, 13, 0.01), ("dopri5", 1e-3, 25, 0.001))


def test_every_looser_row_up_to_max_tol_will_do_where_each_saves_work():
    assert tolerances(EACH_CHEAPER, {"tol": "1e-3", "max_tol": "1e-1"}) == [1e-3, 1e-2, 1e-1]
    assert tolerances(EACH_CHEAPER, {"tol": "1e-3", "max_tol": "1e-2"}) == [1e-3, 1e-2]
    assert tolerances(EACH_CHEAPER, {"tol": "1e-3"}) == [1e-3]


def test_a_looser_tolerance_that_costs_as_much_is_passed_over():
    costs = table(*(("dopri5", tol, nfe, tol) for tol, nfe in ((1e-1, 7), (3e-2, 12.9), (1e-2, 13), (1e-3, 13.5))))
    assert tolerances(costs, {"tol": "1e-3", "max_tol": "1e-1"}) == [1e-3, 1e-1]
    assert tolerances(costs, {"tol": "1e-3", "max_tol": "3e-2"}) == [1e-3]


@pytest.mark.parametrize(("tol", "method"), [(1e-2, "bosh3"), (1e-1, "dopri5")])
def test_the_work_is_that_of_the_method_that_auto_takes_at_each(tol, method):
    costs = table(
        *(("bosh3", 1e-1, 4, 0.5), ("bosh3", 1e-2, 6, 0.01)), *(("dopri5", 1e-1, 7, 0.1), ("dopri5", 1e-2, 7, 0.01))
    )
    assert costs.cheapest_method(tol, tol) == method
    # dopri5 at 1e-1 takes more than bosh3 at 1e-2: loosening would lose accuracy and save nothing.
    assert tolerances(costs, {"tol": "1e-2", "max_tol": "1e-1"}) == [1e-2]
