"""Parts of the flat state."""

from node_model.types import Part, parts_of


def test_parts_lie_one_after_another_in_the_order_given():
    assert parts_of({"x": 2, "log_det": 1, "probe": 3}) == (
        Part("x", 0, 2),
        Part("log_det", 2, 3),
        Part("probe", 3, 6),
    )
