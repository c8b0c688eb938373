"""The two kinds of grid that talik knows, as frozen values: regular longitude-latitude, and EPSG:6931 equal-area.

Both are always held with ascending coordinates, cell bounds and true WGS84 cell areas. Data on them have the
dimensions ``(..., lat, lon)`` or ``(..., y, x)``.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from talik.errors import GridError
from talik.regions.ellipsoid import A_M, INVERSE_FLATTENING, Array, band_area_m2, from_plane

CELL_1KM_AUTHORS_M = 999.97108203905224855
"""Cell of the published 1 km upscaling; :func:`EqualAreaGrid.epsg6931` takes it as ``cell_m``."""
CELL_8KM_AUTHORS_M = 7995.296
"""Cell of the published 8 km upscaling (not 8 times the 1 km one)."""
WINDOW_X_M = (-5.0e6, 5.0e6)
WINDOW_Y_M = (-4.3e6, 4.2e6)

_WGS84: dict[str, Any] = {
    "semi_major_axis": A_M,
    "inverse_flattening": INVERSE_FLATTENING,
    "longitude_of_prime_meridian": 0.0,
}


class _Cells(ABC):
    """What both grids share; a grid gives ``dims``, ``y_edges``, ``x_edges`` and the rows' cell areas."""

    dims: ClassVar[tuple[str, str]]
    crs_attrs: ClassVar[Mapping[str, Any]]

    @property
    @abstractmethod
    def y_edges(self) -> Array:
        """Cell edges along the first dimension, ascending (degrees or m)."""

    @property
    @abstractmethod
    def x_edges(self) -> Array:
        """Cell edges along the second dimension, ascending (degrees or m)."""

    @property
    @abstractmethod
    def row_area_m2(self) -> Array:
        """Area of one cell of each row, m2, shape (rows,)."""

    @property
    def y(self) -> Array:
        """Centres along the first dimension."""
        return _freeze(0.5 * (self.y_edges[1:] + self.y_edges[:-1]))

    @property
    def x(self) -> Array:
        """Centres along the second dimension."""
        return _freeze(0.5 * (self.x_edges[1:] + self.x_edges[:-1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.y_edges.size - 1, self.x_edges.size - 1

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.shape[0] * self.shape[1]

    @property
    def sizes(self) -> dict[str, int]:
        """Dimension name to length."""
        return dict(zip(self.dims, self.shape, strict=True))

    @abstractmethod
    def _axis_attrs(self) -> tuple[dict[str, str], dict[str, str]]:
        """CF attributes of the coordinates of both dimensions."""

    def coords(self) -> dict[Hashable, xr.Variable]:
        """Centre coordinates with CF attributes, ready for ``xr.DataArray(..., coords=grid.coords())``."""
        first, second = self._axis_attrs()
        return {
            self.dims[0]: xr.Variable(self.dims[0], self.y, first),
            self.dims[1]: xr.Variable(self.dims[1], self.x, second),
        }

    def wrap(
        self, values: ArrayLike, *, name: str | None = None, attrs: Mapping[str, Any] | None = None
    ) -> xr.DataArray:
        """A DataArray on this grid from values of :attr:`shape`; GridError if the shape differs."""
        data = np.asarray(values)
        if data.shape != self.shape:
            raise GridError(
                f"values have shape {data.shape}, but {self} has {self.shape}. Transpose or crop them."
            )
        return xr.DataArray(data, dims=self.dims, coords=self.coords(), name=name, attrs=attrs)

    def cell_area(self) -> xr.DataArray:
        """True area of every cell on the WGS84 ellipsoid, m2."""
        area = np.repeat(self.row_area_m2[:, None], self.shape[1], axis=1)
        return self.wrap(
            area,
            name="cell_area",
            attrs={"units": "m2", "standard_name": "cell_area", "long_name": "cell area"},
        )

    def to_dataset(self) -> xr.Dataset:
        """``cell_area``, bounds of both dimensions and the CF grid mapping ``crs`` as one Dataset."""
        return self.frame().assign(cell_area=self.cell_area().assign_attrs(grid_mapping="crs"))

    def frame(self) -> xr.Dataset:
        """The same without ``cell_area``: small, however many cells there are."""
        ds = xr.Dataset(coords=self.coords())
        for dim, edges in zip(self.dims, (self.y_edges, self.x_edges), strict=True):
            ds[f"{dim}_bnds"] = ((dim, "bnds"), np.column_stack([edges[:-1], edges[1:]]))
            ds[dim].attrs["bounds"] = f"{dim}_bnds"
        ds["crs"] = xr.DataArray(np.int32(0), attrs=dict(self.crs_attrs))
        return ds

    def key(self) -> str:
        """Twelve hexadecimal digits that are the same for equal grids on every machine and version of Python."""
        digest = hashlib.sha256(type(self).__name__.encode())
        for edges in (self.y_edges, self.x_edges):
            digest.update(np.ascontiguousarray(np.round(edges, 9) + 0.0, dtype="<f8").tobytes() + b"|")
        return digest.hexdigest()[:12]


_WHOLE = 1e-6
"""Slack when rows are counted."""


@dataclass(frozen=True)
class LatLonGrid(_Cells):
    """Cells between parallels and meridians; degrees, ascending.

    Build one with :meth:`regular` or :func:`talik.regions.grid_of`. Longitudes may run past 180 when a partial
    domain crosses the date line, but never span more than 360 degrees.
    """

    lat_edges: tuple[float, ...]
    lon_edges: tuple[float, ...]

    dims: ClassVar[tuple[str, str]] = ("lat", "lon")
    crs_attrs: ClassVar[Mapping[str, Any]] = {"grid_mapping_name": "latitude_longitude", **_WGS84}

    def __post_init__(self) -> None:
        for what, edges in (("lat", self.lat_edges), ("lon", self.lon_edges)):
            if len(edges) < 2 or not np.all(np.diff(edges) > 0):
                raise GridError(
                    f"{what} edges must be at least two ascending numbers; found {_short(edges)}."
                )
        width = np.diff(self.lon_edges)
        if not np.allclose(width, width[0], rtol=1e-6):
            raise GridError(
                f"lon edges are not evenly spaced ({width.min():g}..{width.max():g} degrees wide)."
            )
        if self.lat_edges[0] < -90.0 or self.lat_edges[-1] > 90.0:
            raise GridError(f"lat edges must lie in -90..90; found {_short(self.lat_edges)}.")
        if self.lon_edges[-1] - self.lon_edges[0] > 360.0 + 1e-9:
            raise GridError(
                f"lon edges span more than 360 degrees: {_short(self.lon_edges)}. Drop the repeated columns."
            )

    @classmethod
    def regular(
        cls,
        step: float | tuple[float, float],
        *,
        lat: tuple[float, float] = (-90.0, 90.0),
        lon: tuple[float, float] = (-180.0, 180.0),
    ) -> LatLonGrid:
        """Cells of ``step`` degrees (or ``(lat step, lon step)``) between the outer edges ``lat`` and ``lon``.

        GridError if a step does not divide its span.
        """
        dlat, dlon = (step, step) if isinstance(step, int | float) else step
        return cls(_even_edges("lat", *lat, dlat), _even_edges("lon", *lon, dlon))

    @cached_property
    def y_edges(self) -> Array:
        return _freeze(np.asarray(self.lat_edges))

    @cached_property
    def x_edges(self) -> Array:
        return _freeze(np.asarray(self.lon_edges))

    @property
    def y(self) -> Array:
        """Latitude of the centres; a half row at a pole (as in finite-volume models) has its centre on the pole."""
        mid, width = 0.5 * (self.y_edges[1:] + self.y_edges[:-1]), np.diff(self.y_edges)
        for row, beside, pole in ((0, 1, -90.0), (-1, -2, 90.0)):
            if (
                len(mid) > 2
                and self.y_edges[row] == pole
                and math.isclose(2 * width[row], width[beside], rel_tol=1e-6)
            ):
                mid[row] = pole
        return _freeze(mid)

    @property
    def row_area_m2(self) -> Array:
        dlon = (self.lon_edges[-1] - self.lon_edges[0]) / (len(self.lon_edges) - 1)
        return band_area_m2(self.y_edges[:-1], self.y_edges[1:], dlon)

    @property
    def is_global_in_lon(self) -> bool:
        """True if the columns close around the globe."""
        return math.isclose(self.lon_edges[-1] - self.lon_edges[0], 360.0, abs_tol=1e-9)

    def _axis_attrs(self) -> tuple[dict[str, str], dict[str, str]]:
        return (
            {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
            {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
        )

    def __str__(self) -> str:
        e, f = self.lat_edges, self.lon_edges
        return f"lat-lon grid {self.shape[0]} x {self.shape[1]} (lat {e[0]:g}..{e[-1]:g}, lon {f[0]:g}..{f[-1]:g})"


@dataclass(frozen=True)
class EqualAreaGrid(_Cells):
    """Square cells on EPSG:6931 (WGS84 / EASE-Grid 2.0 North: polar Lambert azimuthal equal-area, lon_0 = 0), m.

    Column edges are ``x_origin + cell_m * (i0 + 0..nx)``, rows likewise: integer multiples, so that with origin 0 an
    8000 m cell is made of exactly 64 cells of 1000 m. Build one with :meth:`epsg6931`.
    """

    cell_m: float
    i0: int
    j0: int
    nx: int
    ny: int
    x_origin: float = 0.0
    y_origin: float = 0.0

    dims: ClassVar[tuple[str, str]] = ("y", "x")
    crs_attrs: ClassVar[Mapping[str, Any]] = {
        "grid_mapping_name": "lambert_azimuthal_equal_area",
        "latitude_of_projection_origin": 90.0,
        "longitude_of_projection_origin": 0.0,
        "false_easting": 0.0,
        "false_northing": 0.0,
        "crs_name": "WGS 84 / NSIDC EASE-Grid 2.0 North",
        "spatial_ref": "EPSG:6931",
        **_WGS84,
    }

    def __post_init__(self) -> None:
        if not self.cell_m > 0 or self.nx < 1 or self.ny < 1:
            raise GridError(
                f"an equal-area grid needs a positive cell and at least one row and column; found "
                f"cell_m={self.cell_m}, {self.ny} rows, {self.nx} columns."
            )

    @classmethod
    def epsg6931(
        cls,
        cell_m: float = 8000.0,
        *,
        x: tuple[float, float] = WINDOW_X_M,
        y: tuple[float, float] = WINDOW_Y_M,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> EqualAreaGrid:
        """Cells of ``cell_m`` that cover the window ``x``, ``y`` (m), widened outward to whole cells.

        The default window is the arctic-boreal one; 8000 m gives 1063 rows by 1250 columns.
        """
        if not cell_m > 0 or x[0] >= x[1] or y[0] >= y[1]:
            raise GridError(
                f"expected cell_m > 0 and ascending windows; found cell_m={cell_m}, x={x}, y={y}."
            )
        first, count = [], []
        for (low, high), start in ((x, origin[0]), (y, origin[1])):
            a, b = (low - start) / cell_m, (high - start) / cell_m
            lower, upper = math.floor(a + 1e-9 * abs(a)), math.ceil(b - 1e-9 * abs(b))
            first.append(lower)
            count.append(upper - lower)
        return cls(cell_m, first[0], first[1], count[0], count[1], *origin)

    @cached_property
    def y_edges(self) -> Array:
        return _freeze(
            self.y_origin + self.cell_m * np.arange(self.j0, self.j0 + self.ny + 1, dtype=np.float64)
        )

    @cached_property
    def x_edges(self) -> Array:
        return _freeze(
            self.x_origin + self.cell_m * np.arange(self.i0, self.i0 + self.nx + 1, dtype=np.float64)
        )

    @property
    def row_area_m2(self) -> Array:
        return np.full(self.ny, self.cell_m**2)

    def lonlat(self) -> tuple[xr.DataArray, xr.DataArray]:
        """Longitude and latitude of the cell centres, degrees, each ``(y, x)``; NaN beyond the South Pole."""
        lon, lat = from_plane(*np.meshgrid(self.x, self.y))
        return (
            self.wrap(lon, name="lon", attrs={"standard_name": "longitude", "units": "degrees_east"}),
            self.wrap(lat, name="lat", attrs={"standard_name": "latitude", "units": "degrees_north"}),
        )

    def tile(self, rows: slice, columns: slice) -> EqualAreaGrid:
        """The part of this grid in the half-open ranges ``rows`` and ``columns`` (as in ``isel``)."""
        j, i = range(self.ny)[rows], range(self.nx)[columns]
        if j.step != 1 or i.step != 1 or not len(j) or not len(i):
            raise GridError(
                f"a tile of {self} needs non-empty ranges of step 1; found rows {rows}, columns {columns}."
            )
        return EqualAreaGrid(
            self.cell_m, self.i0 + i.start, self.j0 + j.start, len(i), len(j), self.x_origin, self.y_origin
        )

    def _axis_attrs(self) -> tuple[dict[str, str], dict[str, str]]:
        return (
            {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y", "crs": "EPSG:6931"},
            {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X", "crs": "EPSG:6931"},
        )

    def __str__(self) -> str:
        x, y = self.x_edges, self.y_edges
        return (
            f"EPSG:6931 grid {self.ny} x {self.nx} of {self.cell_m:g} m "
            f"(x {x[0]:.0f}..{x[-1]:.0f}, y {y[0]:.0f}..{y[-1]:.0f})"
        )


Grid: TypeAlias = LatLonGrid | EqualAreaGrid


def _even_edges(axis: str, low: float, high: float, step: float) -> tuple[float, ...]:
    count = (high - low) / step if step > 0 else 0.0
    n = round(count)
    if n < 1 or abs(count - n) > 1e-6 * n:
        raise GridError(
            f"{axis}: a step of {step} degrees does not divide {low}..{high} ({count:.4f} cells). "
            "Choose a step or outer edges that fit."
        )
    return tuple(float(v) for v in low + (high - low) * np.arange(n + 1) / n)


def _short(edges: tuple[float, ...]) -> str:
    head = ", ".join(f"{v:g}" for v in edges[:4])
    return f"({head}{', ...' if len(edges) > 4 else ''}), {len(edges)} values"


def _freeze(values: Array) -> Array:
    values.flags.writeable = False
    return values


def northern_grid(step: float, south: float) -> LatLonGrid:
    """Cells of `step` degrees from the pole to `south`, or to the first whole row beyond it.

    GridError if `step` does not divide the circle.
    """
    rows = min(math.ceil((90.0 - south) / step - _WHOLE), int(180.0 / step + _WHOLE))
    return LatLonGrid.regular(step, lat=(90.0 - rows * step, 90.0))
