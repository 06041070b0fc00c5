"""Plain values in a description of one's own model that cannot be meant."""

import math
import re

import numpy as np
import pytest
from torch import nn

from node_model.own import OwnArg, OwnProgram

TWO = "range: expected two finite numbers, the lower first, as (0.0, 1.0); got"
SIZES = "parts: expected names with sizes, whole numbers from 1, as {'x': 2}; got"


def program(**changes):
    return OwnProgram(nn.Identity(), nn.Identity(), nn.Identity(), **changes)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: OwnArg("k", shape=2), "k: shape: expected a tuple such as (2,), got 2"),
        (lambda: OwnArg("k", shape=(0,)), "k: shape: expected whole numbers from 1, as (2,); got (0,)"),
        (lambda: OwnArg("k", shape=(2.5,)), "k: shape: expected whole numbers from 1, as (2,); got (2.5,)"),
        (lambda: OwnArg("k", range=5), f"k: {TWO} 5"),
        (lambda: OwnArg("k", range=(1.0, -1.0)), f"k: {TWO} (1.0, -1.0)"),
        (lambda: program(range=5), f"predict: {TWO} 5"),
        (lambda: program(range=(0.0,)), f"predict: {TWO} (0.0,)"),
        (lambda: program(range=("0", "1")), f"predict: {TWO} ('0', '1')"),
        (lambda: program(range=(1.0, -1.0)), f"predict: {TWO} (1.0, -1.0)"),
        (lambda: program(range=(0.0, math.inf)), f"predict: {TWO} (0.0, inf)"),
        (lambda: program(range=(math.nan, 1.0)), f"predict: {TWO} (nan, 1.0)"),
        (lambda: program(drawn_shape=2), "predict: drawn_shape: expected a tuple such as (2,), got 2"),
        (lambda: program(args=("k",)), "predict: args: expected OwnArg(...), got 'k'"),
        (lambda: program(args=3), "predict: args: expected a tuple of OwnArg(...), got 3"),
        (lambda: program(parts={"a": -1, "b": 4}), f"predict: {SIZES} {{'a': -1, 'b': 4}}"),
        (lambda: program(parts={"a": 0, "b": 3}), f"predict: {SIZES} {{'a': 0, 'b': 3}}"),
        (lambda: program(parts={"a": 1.5, "b": 1.5}), f"predict: {SIZES} {{'a': 1.5, 'b': 1.5}}"),
        (lambda: program(parts=("a", "b")), f"predict: {SIZES} ('a', 'b')"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(build, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        build()


def test_numbers_of_numpy_and_lists_are_taken():
    points = np.zeros((4, 2), np.float32)
    arg = OwnArg("k", shape=[*points.shape[1:]], range=(points.min(), points.max()))
    program(args=[arg], parts={"a": np.int64(2)}, range=[-1, 1])
