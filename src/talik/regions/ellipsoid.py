"""Areas and the polar equal-area projection on the WGS84 ellipsoid, in closed form (kernels, NumPy only).

The authalic function q (Snyder 1987, Map Projections: A Working Manual, USGS PP 1395, eq. 3-12) turns areas
into rectangles: the cell between two parallels and two meridians has area ``a**2 / 2 * dlon * dq``, and the
polar Lambert azimuthal equal-area projection (Snyder eq. 24-23..24-26; EPSG:6931) maps a parallel to the circle
of radius ``a * sqrt(q(90) - q)`` and a meridian to a straight line through the pole.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

A_M: Final = 6378137.0
"""Semi-major axis, m (WGS84)."""
INVERSE_FLATTENING: Final = 298.257223563
E2: Final = (2.0 - 1.0 / INVERSE_FLATTENING) / INVERSE_FLATTENING
E: Final = float(np.sqrt(E2))


def band_q(south: ArrayLike, north: ArrayLike) -> Array:
    """q(north) - q(south), dimensionless, for latitudes in degrees (broadcast; negative if north < south).

    Written with differences of sines, so that it keeps full relative accuracy for thin bands and at the poles,
    where subtracting two values of q loses up to five digits for a half-degree cell.
    """
    lo, hi = np.asarray(south, float), np.asarray(north, float)
    s1, s2 = np.sin(np.radians(lo)), np.sin(np.radians(hi))
    # cos of the mean latitude as the sine of its distance from the nearer pole: no cancellation at 90 degrees.
    mean = 0.5 * (lo + hi)
    cos_mean = np.sin(np.radians(90.0 - np.abs(mean)))
    ds = 2.0 * cos_mean * np.sin(np.radians(0.5 * (hi - lo)))
    rational = ds * (1.0 + E2 * s1 * s2) / ((1.0 - E2 * s1**2) * (1.0 - E2 * s2**2))
    out: Array = (1.0 - E2) * (rational + np.arctanh(E * ds / (1.0 - E2 * s1 * s2)) / E)
    return out


Q_POLE: Final = float(band_q(0.0, 90.0))
"""q at the pole."""


def band_area_m2(south: ArrayLike, north: ArrayLike, dlon_deg: ArrayLike = 360.0) -> Array:
    """Area in m2 between two parallels over ``dlon_deg`` degrees of longitude (broadcast)."""
    out: Array = 0.5 * A_M**2 * np.radians(np.asarray(dlon_deg, float)) * band_q(south, north)
    return out


def polar_radius_m(lat: ArrayLike) -> Array:
    """Distance in m from the pole on the EPSG:6931 plane for latitude in degrees (0 at 90 N)."""
    out: Array = A_M * np.sqrt(np.maximum(band_q(lat, 90.0), 0.0))
    return out


def latitude_from_radius(rho_m: ArrayLike) -> Array:
    """Inverse of :func:`polar_radius_m`, degrees; NaN where the plane ends (beyond the South Pole)."""
    root = np.asarray(rho_m, float) / A_M
    reach = root**2 / (2.0 * Q_POLE)
    with np.errstate(invalid="ignore"):
        colat = np.degrees(2.0 * np.arcsin(np.sqrt(np.where(reach <= 1.0, reach, np.nan))))
    for _ in range(4):  # Newton on sqrt(q(90) - q), which is nearly linear in colatitude
        lat = 90.0 - colat
        s = np.sin(np.radians(lat))
        now = np.sqrt(band_q(lat, 90.0))
        slope = (1.0 - E2) * np.sin(np.radians(colat)) / (1.0 - E2 * s**2) ** 2  # = now * d(now)/d(colat)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(slope > 1e-14, (now - root) * now / slope, 0.0)
        colat = colat - np.degrees(step)
    out: Array = 90.0 - colat
    return out


def to_plane(lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
    """EPSG:6931 easting and northing in m for degrees; the pole is (0, 0) whatever its longitude."""
    rho, lam = polar_radius_m(lat), np.radians(np.asarray(lon, float))
    return rho * np.sin(lam), -rho * np.cos(lam)


def from_plane(x_m: ArrayLike, y_m: ArrayLike) -> tuple[Array, Array]:
    """Longitude (-180..180) and latitude in degrees for EPSG:6931 metres; longitude 0 at the pole itself."""
    x, y = np.asarray(x_m, float), np.asarray(y_m, float)
    lon: Array = np.where((x == 0.0) & (y == 0.0), 0.0, np.degrees(np.arctan2(x, -y)))
    return lon, latitude_from_radius(np.hypot(x, y))
