"""What belongs together in a picture: connected patches of a mask."""

from dataclasses import dataclass

import numpy as np

from service.engine.stepper import Array

SURROUND = 0.2
"""Share of the picture's edge along which ink does not lie: that is a shadow, or what the paper lies on."""
LITTLE, INSIDE, SPECK = 0.02, 0.2, 0.08
"""Shares of the heaviest patch: what must be left for a surround to be left out; what the heaviest inside must have,
for those at the edge to be left out; below that a patch is a speck."""


@dataclass(frozen=True)
class Patches:
    """8-connected patches of a mask.

    Shapes: labels [row, column], the patch of each pixel, -1 outside; weight, at_edge [patch], the latter pixels.
    """

    labels: Array
    weight: Array
    at_edge: Array

    def ink(self) -> Array:
        """Those that make up what is drawn: neither surround nor specks. Shapes: -> [row, column] bool."""
        weight = self.weight
        if not len(weight):
            return self.labels >= 0
        weight = np.where(self._surrounds(), 0, weight)
        inside = np.where(self.at_edge > 0, 0, weight)
        if inside.max() > INSIDE * weight.max():
            weight = inside
        return np.asarray(np.append(weight >= SPECK * weight.max(), False)[self.labels])

    def surround(self) -> Array:
        """Those that lie along the edge of the picture, where there are others. Shapes: -> [row, column] bool."""
        return np.asarray(np.append(self._surrounds(), False)[self.labels])

    def _surrounds(self) -> Array:
        along = self.at_edge > SURROUND * 2 * sum(self.labels.shape)
        others = self.weight[~along].max(initial=0)
        return np.asarray(along & (others > LITTLE * self.weight.max(initial=0)))


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
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return Patches(labels, total, np.bincount(edge[edge >= 0], minlength=len(kinds)))


def _root(parent: list[int], run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


def _join(parent: list[int], one: int, other: int) -> None:
    a, b = _root(parent, one), _root(parent, other)
    parent[max(a, b)] = min(a, b)
