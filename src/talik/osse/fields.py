"""Smooth random fields on the sphere that do not depend on where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from talik.regions.sphere import RADIUS_KM, unit_vectors
from talik.rng import named_rng

Array = npt.NDArray[np.float64]
WAVES = 256
"""Plane waves of a field: its covariance differs from the Gaussian by about 1/sqrt(WAVES)."""


def smooth_fields(
    seed: int, names: Sequence[str], lat: Array, lon: Array, *, length_km: float
) -> dict[str, Array]:
    """Named fields (point,) of mean 0 and variance 1 with covariance exp(-d2 / (2 length2)), d the chord in km.

    Each is a sum of random plane waves in space, looked at on the sphere (random Fourier features, Rahimi and Recht
    2007), so that a point has the same value on every grid.
    """
    at = unit_vectors(lat, lon) * RADIUS_KM
    return {name: _waves(named_rng(seed, f"osse/{name}"), at, length_km, 1)[:, 0] for name in names}


def smooth_series(seed: int, name: str, lat: Array, lon: Array, *, steps: int, length_km: float) -> Array:
    """(step, point) fields as `smooth_fields`, independent from step to step."""
    at = unit_vectors(lat, lon) * RADIUS_KM
    return _waves(named_rng(seed, f"osse/{name}"), at, length_km, steps).T


def _waves(rng: np.random.Generator, at: Array, length_km: float, fields: int) -> Array:
    """(point, field): waves are shared by the fields, amplitudes are their own."""
    vectors = rng.normal(0.0, 1.0 / length_km, (3, WAVES))
    phase = at @ vectors
    a, b = rng.normal(0.0, 1.0, (2, WAVES, fields))
    return np.asarray((np.cos(phase) @ a + np.sin(phase) @ b) / np.sqrt(WAVES))
