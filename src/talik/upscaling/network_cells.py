"""A cube of predictors as some thousand cells, each spoken for by one pixel: what a network is planned on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import ConfigError, InputError
from talik.regions.ellipsoid import from_plane, to_plane
from talik.regions.grid import EqualAreaGrid, Grid, LatLonGrid
from talik.sources.table_file import read_table
from talik.upscaling.cube.opening import open_cube
from talik.upscaling.cube.plan import tile_edge
from talik.upscaling.cube.predictors import Cube, Plane, Tile, TileReader
from talik.upscaling.cube.tile import region_areas
from talik.upscaling.training import Feature
from talik.upscaling.trees import Float32, Float64, Int64

KEEP_BYTES = 2.0**28
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of a coarse grid and the pixels of the cube that stand for them."""

    grid: Grid
    """The coarse grid; that of the cube if it has few enough pixels."""
    index: Int64
    """(n,) row-major number of each cell in it."""
    lat: Float64
    """(n,) degrees, of the pixel that stands for the cell: the valid one nearest to its middle."""
    lon: Float64
    regions: tuple[str, ...]
    """The first is the domain."""
    area: Float64
    """(R, n) m2, of all valid pixels of the cell in each region."""
    x: Float32
    """(12, n, p) its predictors in January .. December, as the model wants them."""
    allowed: Bool
    """(n,) a tower may stand in the cell."""
    years: tuple[int, int]
    towers: Float32
    """(12, k, p) predictors at the pixels of given towers; NaN where the cube has none within reach."""
    on_grid: Bool
    """(k,) whether there is one."""


def read_cells(
    paths: Sequence[Path],
    features: Sequence[Feature],
    *,
    lat: Float64,
    lon: Float64,
    years: tuple[int, int] | None = None,
    regions: Sequence[str] = (),
    where: str | None = None,
    land_fraction: str | None = None,
    max_cells: int = 3000,
) -> Cells:
    """Cells of a cube, and the predictors at towers (lat, lon : (k,) degrees; NaN: nowhere).

    years : their mean by calendar month is taken; not given: the last whole year of the cube. Classes are those of the
    last year. where : FILE.nc:VARIABLE on the grid of the cube (a tower may stand where it is neither 0 nor missing),
    or a table with lat and lon (in the pixel of each). A tower whose own pixel is not valid is given the pixel of the
    nearest cell, if that is within one and a half cells.

    Raises:
        InputError, GridError, UnitsError: what is wrong with the files; or no tower may stand anywhere.
    """
    cube = open_cube(paths, features, years=years or _last_year(paths, features))
    grid = cube.grid
    edge = tile_edge(grid, None)
    tiles = [
        Tile(j, min(j + edge, grid.shape[0]), i, min(i + edge, grid.shape[1]))
        for j in range(0, grid.shape[0], edge)
        for i in range(0, grid.shape[1], edge)
    ]
    valid = np.zeros(grid.shape, bool)
    for tile in tiles:
        valid[tile.j0 : tile.j1, tile.i0 : tile.i1] = _valid(cube, tile)
    if not valid.any():
        raise InputError(
            f"{', '.join(map(str, paths))}: no pixel has all predictors in all months of "
            f"{cube.year[0]}-{cube.year[-1]}. Choose other --years, or fill the gaps (talik.upscaling.gapfill)."
        )
    allowed = valid & _allowed(where, grid, tiles)
    if not allowed.any():
        raise InputError(
            f"--where {where}: no valid pixel of the cube is allowed. Check the mask or the places."
        )
    coarse, of_pixel = _coarse(grid, valid, max_cells)
    pixel, index = _speakers(grid, coarse, of_pixel, valid, allowed)
    names, area = _areas(grid, tiles, valid, regions, land_fraction, of_pixel, index)
    tower_pixel = _tower_pixels(grid, valid, lat, lon)
    picked = np.concatenate([pixel, tower_pixel[tower_pixel >= 0]])
    x = _picked(cube, tiles, picked)
    own = np.full((12, len(lat), len(features)), np.nan, np.float32)
    own[:, tower_pixel >= 0] = x[:, len(pixel) :]
    cell_lon, cell_lat = _centres(grid, pixel)
    cells = Cells(
        coarse, index, cell_lat, cell_lon, names, area, x[:, : len(pixel)], allowed.ravel()[pixel],
        (int(cube.year[0]), int(cube.year[-1])), own, tower_pixel >= 0,
    )  # fmt: skip
    return _with_neighbours(cells, lat, lon)


def _last_year(paths: Sequence[Path], features: Sequence[Feature]) -> tuple[int, int]:
    months = open_cube(paths, features).months
    whole = [int(y) for y in np.unique(months // 12) if (months // 12 == y).sum() == 12]
    if not whole:
        raise InputError(
            f"{', '.join(map(str, paths))}: no whole year; expected January to December. Add months."
        )
    return whole[-1], whole[-1]


def _valid(cube: Cube, tile: Tile) -> Bool:
    """Pixels of a tile that have every predictor in every month."""
    out = np.ones(tile.shape, bool)
    for k, held in enumerate(cube.fields):
        if held is None:
            continue
        _, steps = np.unique(held.position, return_index=True)
        for step in map(int, steps):
            out &= np.isfinite(cube.read(k, step, tile))
            if not out.any():
                return out
    return out


def _allowed(where: str | None, grid: Grid, tiles: Sequence[Tile]) -> Bool:
    out = np.ones(grid.shape, bool)
    if where is None:
        return out
    if Path(where).is_file() and ":" not in Path(where).name:
        table, _ = read_table(Path(where))
        lost = [c for c in ("lat", "lon") if c not in table]
        if lost:
            raise InputError(
                f"--where {where}: column {', '.join(lost)} missing; found {', '.join(map(str, table.columns))}. "
                "Give a table with lat and lon in degrees, or FILE.nc:VARIABLE."
            )
        pixel = _pixel_of(grid, table["lat"].to_numpy(np.float64), table["lon"].to_numpy(np.float64))
        out[:] = False
        out.ravel()[pixel[pixel >= 0]] = True
        return out
    if ":" not in where:
        raise ConfigError(
            f"--where {where!r}: no such file; expected FILE.nc:VARIABLE or a table with lat and lon."
        )
    plane = Plane.parse(where, "--where")
    for tile in tiles:
        values = plane.read(grid, tile)
        out[tile.j0 : tile.j1, tile.i0 : tile.i1] = np.isfinite(values) & (values != 0)
    return out


def _coarse(grid: Grid, valid: Bool, most: int) -> tuple[Grid, Int64]:
    """The finest grid of whole blocks of pixels with at most so many cells that hold a valid one, and the cell of each
    pixel."""
    rows, columns = np.nonzero(valid)
    start = max(1, int(np.sqrt(len(rows) / most)))
    for k in range(start, max(grid.shape) + 1):
        across = k if isinstance(grid, EqualAreaGrid) else _divisor(grid.shape[1], k)
        ny, nx = -(-grid.shape[0] // k), -(-grid.shape[1] // across)
        if len(np.unique(rows // k * nx + columns // across)) <= most:
            break
    cell = np.add.outer(np.arange(grid.shape[0]) // k * nx, np.arange(grid.shape[1]) // across)
    if k == 1:
        return grid, cell
    if isinstance(grid, EqualAreaGrid):
        origin = float(grid.x_edges[0]), float(grid.y_edges[0])
        return EqualAreaGrid(grid.cell_m * k, 0, 0, nx, ny, *origin), cell
    lat = [*grid.lat_edges[:-1:k], grid.lat_edges[-1]]
    return LatLonGrid(tuple(lat), grid.lon_edges[::across]), cell


def _divisor(n: int, least: int) -> int:
    """The smallest divisor of n that is at least so large."""
    return next(d for d in range(min(least, n), n + 1) if n % d == 0)


def _speakers(grid: Grid, coarse: Grid, of_pixel: Int64, valid: Bool, allowed: Bool) -> tuple[Int64, Int64]:
    """The pixel that stands for each cell that has a valid one, and the number of the cell: among those where a tower
    may stand, if there are any, the nearest to the middle of the cell."""
    rows, columns = np.nonzero(valid)
    cell = of_pixel[rows, columns]
    middle_y, middle_x = coarse.y[cell // coarse.shape[1]], coarse.x[cell % coarse.shape[1]]
    far = (grid.y[rows] - middle_y) ** 2 + (grid.x[columns] - middle_x) ** 2
    order = np.lexsort((far, ~allowed[rows, columns], cell))
    first = np.unique(cell[order], return_index=True)[1]
    chosen = order[first]
    return rows[chosen] * grid.shape[1] + columns[chosen], cell[chosen]


def _areas(
    grid: Grid,
    tiles: Sequence[Tile],
    valid: Bool,
    regions: Sequence[str],
    land_fraction: str | None,
    of_pixel: Int64,
    index: Int64,
) -> tuple[tuple[str, ...], Float64]:
    """Names and (R, n) area of the regions in each cell."""
    land = Plane.parse(land_fraction, "--land-fraction") if land_fraction else None
    names, total = ["domain"], np.zeros((1, int(of_pixel.max()) + 1))
    for tile in tiles:
        part = np.s_[tile.j0 : tile.j1, tile.i0 : tile.i1]
        rows = np.flatnonzero(valid[part])
        if not len(rows):
            continue
        own = tile.of(grid)
        share = np.ones(len(rows)) if land is None else land.read(grid, tile).ravel()[rows]
        if not (np.isfinite(share) & (share >= 0) & (share <= 1 + 1e-6)).all():
            raise InputError(
                f"--land-fraction {land_fraction}: missing or outside 0..1 in valid pixels of tile {tile.name}. Fill "
                "it there, and divide percentages by 100."
            )
        weights, names = region_areas(
            tuple(regions), own, rows, np.repeat(own.row_area_m2, tile.shape[1])[rows], share
        )
        cell = of_pixel[part].ravel()[rows]
        if len(total) < len(names):
            total = np.vstack([total, np.zeros((len(names) - len(total), total.shape[1]))])
        for r in range(len(names)):
            total[r] += np.bincount(cell, weights[:, r], total.shape[1])
    return tuple(names), np.asarray(total[:, index])


def _tower_pixels(grid: Grid, valid: Bool, lat: Float64, lon: Float64) -> Int64:
    """(k,) pixel of each tower; -1 where it is not valid or outside the grid."""
    pixel = _pixel_of(grid, lat, lon)
    pixel[(pixel >= 0) & ~valid.ravel()[pixel]] = -1
    return pixel


def _pixel_of(grid: Grid, lat: Float64, lon: Float64) -> Int64:
    """(k,) row-major number of the pixel that holds each point; -1 outside the grid, or with a coordinate missing."""
    known = np.isfinite(lat) & np.isfinite(lon)
    y, x = np.where(known, lat, 0.0), np.where(known, lon, 0.0)
    if isinstance(grid, EqualAreaGrid):
        x, y = to_plane(x, y)
    else:
        x = grid.x_edges[0] + np.mod(x - grid.x_edges[0], 360.0)
    j = np.searchsorted(grid.y_edges, y, side="right") - 1
    i = np.searchsorted(grid.x_edges, x, side="right") - 1
    inside = known & (j >= 0) & (j < grid.shape[0]) & (i >= 0) & (i < grid.shape[1])
    return np.where(inside, j * grid.shape[1] + i, -1)


def _centres(grid: Grid, pixel: Int64) -> tuple[Float64, Float64]:
    """Longitude and latitude of pixels, longitude -180..180."""
    y, x = grid.y[pixel // grid.shape[1]], grid.x[pixel % grid.shape[1]]
    lon, lat = from_plane(x, y) if isinstance(grid, EqualAreaGrid) else (x, y)
    return np.mod(np.asarray(lon) + 180.0, 360.0) - 180.0, np.asarray(lat)


def _picked(cube: Cube, tiles: Sequence[Tile], pixel: Int64) -> Float32:
    """(12, n, p) predictors of pixels: means over years by calendar month, classes of the last year."""
    columns = cube.grid.shape[1]
    rows, cols = pixel // columns, pixel % columns
    total = np.zeros((12, len(pixel), len(cube.features)))
    n_years = len(cube.months) / 12
    for tile, mine in _within(tiles, rows, cols):
        reader = TileReader(cube, tile, KEEP_BYTES)
        at = (rows[mine] - tile.j0, cols[mine] - tile.i0)
        for step in range(len(cube.months)):
            month = int(cube.month[step]) - 1
            for k, feature in enumerate(cube.features):
                values = reader.read(k, step)
                found = values[at] if values.ndim else np.full(len(mine), values)
                if feature.levels:
                    total[month, mine, k] = found
                else:
                    total[month, mine, k] += found / n_years
    return total.astype(np.float32)


def _within(tiles: Sequence[Tile], rows: Int64, cols: Int64) -> Iterator[tuple[Tile, Int64]]:
    for tile in tiles:
        mine = np.flatnonzero((rows >= tile.j0) & (rows < tile.j1) & (cols >= tile.i0) & (cols < tile.i1))
        if len(mine):
            yield tile, mine


def _with_neighbours(cells: Cells, lat: Float64, lon: Float64) -> Cells:
    """Towers without a pixel of their own take that of the nearest cell within one and a half cells."""
    from talik.upscaling.distances import RADIUS_KM, arc_km, unit_vectors

    wanted = np.flatnonzero(~cells.on_grid & np.isfinite(lat) & np.isfinite(lon))
    side = cells.grid.cell_m / 1e3 if isinstance(cells.grid, EqualAreaGrid) else np.radians(
        float(np.diff(cells.grid.y_edges).max())
    ) * RADIUS_KM  # fmt: skip
    at = unit_vectors(cells.lat, cells.lon)
    for k in wanted:
        km = arc_km(np.linalg.norm(at - unit_vectors(lat[k : k + 1], lon[k : k + 1]), axis=1))
        if km.min() <= 1.5 * side:
            cells.towers[:, k] = cells.x[:, int(km.argmin())]
            cells.on_grid[k] = True
    return cells


def positions(at: Float64, groups: Int64, sites: Sequence[str]) -> pd.DataFrame:
    """site_id, lat, lon of every site: the mean position of its rows; NaN where none is told."""
    table = pd.DataFrame({"site": groups, "lat": at[:, 0], "lon": at[:, 1]}).groupby("site").mean()
    table = table.reindex(range(len(sites)))
    return pd.DataFrame(
        {"site_id": list(sites), "lat": table["lat"].to_numpy(), "lon": table["lon"].to_numpy()}
    )
