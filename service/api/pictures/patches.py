"""What belongs together in a picture: connected patches of a mask."""

from dataclasses import dataclass

import numpy as np

from service.engine.stepper import Array

RIM = 64
"""The edge of a picture is as broad as this part of its longer side."""
INSIDE, SPECK = 0.2, 0.08
"""Shares of the heaviest patch: what the heaviest inside must have for those at the edge to be left out, which are then
the end of the paper or a shadow; below what a patch is a speck."""


@dataclass(frozen=True)
class Patches:
    """8-connected patches of a mask.

    Shapes: labels [row, column], the patch of each pixel, -1 outside; weight, at_edge [patch], the latter bool.
    """

    labels: Array
    weight: Array
    at_edge: Array

    def ink(self) -> Array:
        """Those that make up what is drawn. Shapes: -> [row, column] bool."""
        weight = self.weight
        inside = np.where(self.at_edge, 0, weight)
        if inside.max(initial=0) > INSIDE * weight.max(initial=0):
            weight = inside
        return np.asarray(np.append(weight >= SPECK * weight.max(initial=0), False)[self.labels])


def patches_of(mask: Array, weight: Array) -> Patches:
    """The patches of a mask, and how much weight lies on each. Shapes: mask, weight [row, column]."""
    height = mask.shape[0]
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (row, first), (_, last) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    parent = list(range(len(row)))
    begins = np.searchsorted(row, np.arange(height + 1)).tolist()
    starts, ends = first.tolist(), last.tolist()
    for r in range(1, height):
        above, run = begins[r - 1], begins[r]
        while above < begins[r] and run < begins[r + 1]:
            # Half-open runs that overlap, or meet at a corner.
            if starts[above] <= ends[run] and starts[run] <= ends[above]:
                _join(parent, above, run)
            if ends[above] < ends[run]:
                above += 1
            else:
                run += 1
    roots = np.array([_root(parent, run) for run in range(len(row))], np.intp)
    kinds, patch = np.unique(roots, return_inverse=True)
    labels = np.full(mask.shape, -1, np.intp)
    labels[mask] = np.repeat(patch, last - first)
    total = np.bincount(labels[mask], weight[mask], len(kinds))
    rim = max(1, max(mask.shape) // RIM)
    inner = np.zeros(mask.shape, bool)
    inner[rim:-rim, rim:-rim] = True
    at_edge = np.bincount(labels[mask & ~inner], minlength=len(kinds)) > 0
    return Patches(labels, total, at_edge)


def _root(parent: list[int], run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


def _join(parent: list[int], one: int, other: int) -> None:
    a, b = _root(parent, one), _root(parent, other)
    parent[max(a, b)] = min(a, b)
