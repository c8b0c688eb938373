"""Points given by latitude and longitude on the sphere, and great-circle distances between them (kernels)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from talik.errors import InputError
from talik.regions.ellipsoid import Array

RADIUS_KM = 6371.0088
"""Mean radius of the Earth; against the ellipsoid distances are off by 0.6 % at most."""


def unit_vectors(lat: ArrayLike, lon: ArrayLike) -> Array:
    """(n, 3) points on the unit sphere for latitudes and longitudes in degrees.

    Raises:
        InputError: a coordinate is not finite, or a latitude is outside -90..90.
    """
    north, east = np.asarray(lat, float), np.asarray(lon, float)
    bad = np.flatnonzero(~(np.isfinite(north) & np.isfinite(east) & (np.abs(north) <= 90)))
    if len(bad):
        raise InputError(
            f"coordinates: point {bad[0]} has lat {north[bad[0]]:g}, lon {east[bad[0]]:g} ({len(bad)} such points); "
            "expected degrees with lat in -90..90. Drop it, or check that lat and lon are not exchanged."
        )
    return on_unit_sphere(north, east)


def on_unit_sphere(lat: Array, lon: Array) -> Array:
    """(..., 3) points on the unit sphere for latitudes and longitudes (...) in degrees; NaN where one is NaN."""
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def arc_km(chord: ArrayLike) -> Array:
    """Great-circle distance, km, of points `chord` apart on the unit sphere."""
    return np.asarray(2 * RADIUS_KM * np.arcsin(np.clip(np.asarray(chord, float) / 2, 0, 1)))


def wrap_longitude(lon: Array) -> Array:
    """Longitudes from -180 to below 180 degrees, any shape; values already there are unchanged."""
    return np.where((lon >= -180.0) & (lon < 180.0), lon, np.mod(lon + 180.0, 360.0) - 180.0)
