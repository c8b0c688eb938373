"""Land of a world: coasts from the shipped polygons; relief, soils, vegetation, wetlands and lakes from formulas.

Relief and lowlands are a few bumps where the Arctic has its mountains and its great wetlands: the world looks like the
Arctic and holds none of its data. Soils, and what makes cells of one climate differ, are smooth random fields.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from talik.osse.fields import smooth_fields
from talik.osse.settings import WorldSettings
from talik.regions import LatLonGrid, land_fraction
from talik.regions.sphere import arc_km, unit_vectors

Array = npt.NDArray[np.float64]

_COAST_DEGREES = 1.0
"""Grid on which distances to the sea are taken."""
# lat, lon, height or strength, widths in latitude and longitude (degrees)
_MOUNTAINS = (
    (68.5, -150.0, 900.0, 1.5, 9.0),
    (62.5, -150.0, 1100.0, 2.0, 8.0),
    (56.0, -125.0, 1300.0, 7.0, 7.0),
    (72.0, -40.0, 2400.0, 8.0, 13.0),
    (73.0, -78.0, 700.0, 6.0, 9.0),
    (65.0, 14.0, 700.0, 5.0, 5.0),
    (63.0, 59.0, 600.0, 6.0, 3.0),
    (67.0, 98.0, 650.0, 4.0, 9.0),
    (66.0, 137.0, 1100.0, 5.0, 12.0),
    (53.0, 105.0, 1000.0, 4.0, 15.0),
    (61.0, 160.0, 700.0, 5.0, 12.0),
)
_WETLANDS = (
    (60.0, 73.0, 0.45, 5.0, 10.0),
    (54.0, -85.0, 0.55, 4.0, 9.0),
    (65.0, 45.0, 0.20, 4.0, 12.0),
    (70.5, 150.0, 0.30, 2.5, 15.0),
    (60.0, -113.0, 0.25, 5.0, 9.0),
    (65.0, -147.0, 0.15, 4.0, 9.0),
    (63.0, 26.0, 0.25, 4.0, 7.0),
)
_LAKES = (
    (63.0, -108.0, 0.14, 5.0, 12.0),
    (56.0, -70.0, 0.12, 5.0, 9.0),
    (63.0, 28.0, 0.09, 3.0, 5.0),
    (70.5, -153.0, 0.14, 1.5, 7.0),
    (67.0, 75.0, 0.07, 4.0, 9.0),
    (70.0, 155.0, 0.11, 2.5, 10.0),
)
_ICE_M = 1500.0
"""Land as high as this north of 60 N is ice."""


@dataclass(frozen=True, slots=True, eq=False)
class Land:
    """Cells with land, each array (cell,): centres in degrees, land share of the cell, areas in m2, distance from the
    sea in km and continentality 0..1, elevation in m, soil texture in %, shares of wetlands and lakes in the land,
    latent difference of productivity (standard normal); cells that are ice; the grid and the place of each cell in it.
    """

    grid: LatLonGrid
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    lat: Array
    lon: Array
    land_share: Array
    land_area_m2: Array
    from_sea_km: Array
    continentality: Array
    elevation: Array
    sand: Array
    silt: Array
    clay: Array
    wetland: Array
    lake: Array
    latent: Array
    ice: npt.NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.lat.size)

    def where(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Land:
        """Some of the cells."""
        held = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "grid"}
        return Land(self.grid, **{name: values[keep] for name, values in held.items()})

    def on_grid(self, values: npt.ArrayLike) -> Array:
        """(..., lat, lon) of values (..., cell); NaN in the sea."""
        held = np.asarray(values, float)
        out = np.full((*held.shape[:-1], *self.grid.shape), np.nan)
        out[..., self.row, self.column] = held
        return out


def world_grid(
    settings: WorldSettings, lat_step: float | None = None, lon_step: float | None = None
) -> LatLonGrid:
    """The cells of a world, or coarser ones over the same land; whole rows from `grid.south` to the last below 84 N."""
    dlat, dlon = lat_step or settings.grid.lat_step, lon_step or settings.grid.lon_step
    rows = int((84.0 - settings.grid.south) / dlat + 1e-9)
    return LatLonGrid.regular((dlat, dlon), lat=(settings.grid.south, settings.grid.south + rows * dlat))


def make_land(settings: WorldSettings, grid: LatLonGrid | None = None) -> Land:
    """The land of a world on its grid, or on another; what is random is the same place by place on every grid."""
    grid = grid or world_grid(settings)
    share = land_fraction(grid).to_numpy()
    row, column = np.nonzero(share >= settings.grid.least_land)
    lat, lon = grid.y[row], grid.x[column]
    from_sea = distance_from_sea_km(lat, lon)
    elevation = _bumps(_MOUNTAINS, lat, lon) + 150.0
    low = np.exp(-(((elevation - 150.0) / 500.0) ** 2))
    random = smooth_fields(
        settings.seed, ("sand", "clay", "wetland", "lake", "latent"), lat, lon, length_km=900.0
    )
    sand = np.clip(48.0 + 12.0 * random["sand"], 15.0, 80.0)
    clay = np.clip(18.0 + 5.0 * random["clay"], 5.0, 0.9 * (100.0 - sand))
    wetland = np.clip(
        (0.06 + _bumps(_WETLANDS, lat, lon)) * np.exp(0.35 * random["wetland"]) * low, 0.0, 0.75
    )
    lake = np.clip((0.015 + _bumps(_LAKES, lat, lon)) * np.exp(0.35 * random["lake"]) * low, 0.0, 0.22)
    return Land(
        grid,
        row,
        column,
        lat,
        lon,
        share[row, column],
        share[row, column] * grid.cell_area().to_numpy()[row, column],
        from_sea,
        continentality(lat, lon, from_sea),
        elevation,
        sand,
        100.0 - sand - clay,
        clay,
        wetland,
        lake,
        random["latent"],
        (elevation > _ICE_M) & (lat > 60.0),
    )


def distance_from_sea_km(lat: Array, lon: Array) -> Array:
    """Distance of points from the nearest sea, km, on a grid of one degree; lakes count as land."""
    grid = LatLonGrid.regular(_COAST_DEGREES, lat=(40.0, 90.0))
    rows, columns = np.nonzero(land_fraction(grid).to_numpy() < 0.5)
    tree = cKDTree(unit_vectors(grid.y[rows], grid.x[columns]))
    return np.asarray(arc_km(tree.query(unit_vectors(lat, lon))[0]))


def continentality(lat: Array, lon: Array, from_sea_km: Array) -> Array:
    """0 at a mild coast to 1 far inland; a sea that freezes (the Arctic Ocean but for its Atlantic
    side, Hudson Bay) warms nobody."""
    atlantic = np.exp(-(((lon - 10.0) / 35.0) ** 2))
    frozen = 0.6 / (1.0 + np.exp(-(lat - 66.0) / 2.0)) * (1.0 - atlantic)
    inland = 1.0 - np.exp(-from_sea_km / 600.0)
    bay = 0.45 * np.exp(-(((lat - 58.0) / 6.0) ** 2) - ((lon + 83.0) / 10.0) ** 2)
    east = bay + 0.12 * np.exp(-(((lon - 130.0) / 35.0) ** 2)) - 0.25 * atlantic
    return np.clip(frozen + (1.0 - frozen) * inland + east, 0.0, 1.0)


def _bumps(shapes: tuple[tuple[float, float, float, float, float], ...], lat: Array, lon: Array) -> Array:
    out = np.zeros(lat.shape)
    for at_lat, at_lon, height, wide_lat, wide_lon in shapes:
        apart = (lon - at_lon + 180.0) % 360.0 - 180.0
        out += height * np.exp(-(((lat - at_lat) / wide_lat) ** 2) - (apart / wide_lon) ** 2)
    return out
