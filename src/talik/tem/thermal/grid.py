"""The layers of the soil column: 25 carbon layers to 6 m, 42 thermal layers to 50 m, and one element of moss on top."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CARBON_THICKNESS_M: Array = np.repeat([0.1, 0.2, 0.5, 1.0], [10, 10, 4, 1])
"""(25,) layers that hold soil carbon, from the top of the organic layer to 6 m (Liu et al. 2024)."""

SOIL_THICKNESS_M: Array = np.concatenate(
    [[0.02, 0.03, 0.05], CARBON_THICKNESS_M[1:], np.repeat([1.0, 2.0, 5.0], [4, 5, 6])]
)
"""(42,) thermal layers to 50 m: the carbon layers, the first split in three, then coarser ones."""

LAYERS = 1 + SOIL_THICKNESS_M.size
"""Layers of the thermal column with the moss element, which is layer 0."""

DEPTHS_M = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Depths at which soil temperature is written."""


def bounds(thickness_m: Array) -> Array:
    """(n + 1,) depth of the layer edges, m, from 0 at the top."""
    return np.concatenate([[0.0], np.cumsum(thickness_m)])


def midpoints(thickness_m: Array) -> Array:
    """(n,) depth of the layer centres, m."""
    edges = bounds(thickness_m)
    return 0.5 * (edges[:-1] + edges[1:])


def interpolation(depth_m: npt.ArrayLike, thickness_m: Array = SOIL_THICKNESS_M) -> Array:
    """(depths, layers) weights that interpolate layer values linearly between layer centres.

    Above the first and below the last centre the nearest layer counts alone.
    """
    centres = midpoints(thickness_m)
    return np.stack(
        [np.interp(np.atleast_1d(depth_m), centres, unit) for unit in np.eye(centres.size)], axis=1
    )
