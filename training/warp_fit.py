"""The warp of a table: widths and centres by maximum likelihood, then whitening."""

import numpy as np
import numpy.typing as npt

from node_model.warp import Warp

Array = npt.NDArray[np.float64]

QUANTILES = np.linspace(0.05, 0.95, 19)
WIDTHS = np.geomspace(0.03, 30, 25)


def fitted_warp(z: Array) -> Warp:
    """The warp under which standardised points look most like independent normals. Shapes: z [item, dim]."""
    chosen = [_centre_and_width(column) for column in z.T]
    centre, width = (np.array(values) for values in zip(*chosen, strict=True))
    u = np.arcsinh((z - centre) / width)
    # The inverse of the Cholesky factor: x_k is u_k less what the dimensions before it tell of it.
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(u.T)))
    return Warp(
        centre=tuple(centre.tolist()),
        width=tuple(width.tolist()),
        offset=tuple(u.mean(0).tolist()),
        matrix=tuple(tuple(row) for row in whitening.tolist()),
    )


def _centre_and_width(column: Array) -> tuple[float, float]:
    """The pair on the grid that makes the warped column's normal likelihood largest."""
    best = (-np.inf, 0.0, 1.0)
    for centre in np.quantile(column, QUANTILES):
        for width in WIDTHS:
            v = (column - centre) / width
            likelihood = -np.log(np.arcsinh(v).std()) - np.log(width) - 0.5 * np.log1p(v * v).mean()
            best = max(best, (float(likelihood), float(centre), float(width)))
    return best[1:]
