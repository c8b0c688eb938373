"""Land cover of a world as BAWLD tables have it, and a fire product: what an inventory multiplies and adds."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.files import whole_file
from talik.flux.dataset import make_flux_dataset
from talik.flux.table import FLUXES
from talik.osse.fields import smooth_fields
from talik.osse.nature import RIVERS, Nature
from talik.osse.netcdf import write_dataset
from talik.osse.towers import TUNDRA, strata
from talik.posts.distributions import Z
from talik.regions import LatLonGrid, land_fraction
from talik.rng import named_rng
from talik.sources.bawld_classes import CLASSES, PARENTS

Array = npt.NDArray[np.float64]

CELL_DEGREES = 0.5
"""Cells of BAWLD."""
LAKES = {"LAL": 0.40, "MPL": 0.12, "MYL": 0.06, "MGL": 0.22, "SPL": 0.08, "SYL": 0.04, "SGL": 0.08}
"""Share of each class in the area of lakes: large ones hold near half of it (Olefeldt et al. 2021, roughly)."""
RIVERS_OF = {"LAR": 0.6, "SRR": 0.2, "SRP": 0.2}
"""The same of rivers: a guess."""
PEAT = {"BOG": 0.45, "FEN": 0.45, "MAR": 0.10}
"""Share of each class in the wetland of a cell without permafrost: a guess."""
_ERROR_KM = 500.0
_COMMON = 0.5
_WARMEST_PERMAFROST = 0.5
_DIGITS = 4


def write_cover(out: Path, nature: Nature) -> None:
    """Classes, their 95 % limits and monthly air temperature on half-degree cells: a BAWLD table, gzipped CSV.

    Every half-degree cell with land in a cell of the world has the classes of that cell.
    """
    land, shares = nature.land, mapped_cover(nature)
    reach = Z * nature.settings.maps.cover_sd
    printed = {code: np.round(100.0 * share, _DIGITS) for code, share in shares.items()}
    columns: dict[str, Array] = {}
    for code, percent in printed.items():
        low, high = (np.round(100.0 * _with_odds(shares[code], way * reach), _DIGITS) for way in (-1.0, 1.0))
        columns |= {
            code: percent,
            f"{code}_L": np.minimum(low, percent),
            f"{code}_H": np.maximum(high, percent),
        }
    columns |= {
        parent: np.sum([printed[part] for part in parts], axis=0) for parent, parts in PARENTS.items()
    }
    months = nature.weather.tas.reshape(-1, 12, land.size).mean(axis=0)
    columns |= {f"CD_Tmp_m{month}": np.round(months[month], 2) for month in range(12)}
    columns["CD_Tmp_An"] = np.round(months.mean(axis=0), 2)
    # the many small cells of one cell of the world differ in their first columns only
    held = np.stack(list(columns.values()), axis=1)
    same = [",".join(f"{value:.8g}" for value in row) for row in held]
    lines = [",".join(["Cell_ID", "Long", "Lat", "Area_Pct", "Shp_Area", *columns])]
    cell, *places = _half_degrees(nature)
    lines += [
        f"{i},{lon:.8g},{lat:.8g},{percent:.8g},{area:.10g},{same[at]}"
        for i, (at, lon, lat, percent, area) in enumerate(zip(cell.tolist(), *places, strict=True), 1)
    ]
    with whole_file(out) as part:
        # no time and no name in the header
        part.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def true_cover(nature: Nature) -> dict[str, Array]:
    """(cell,) share of the land of each BAWLD class; they add up to 1.

    Wetland is tundra wetland under tundra, permafrost bog where most of the cell has permafrost, else bog, fen, marsh.
    What is neither wetland nor water is dry tundra or boreal forest, to which grassland counts, as in BAWLD.
    """
    land = nature.land
    tundra = np.array([name in TUNDRA for name in nature.community])
    frozen = nature.months["permafrostFraction"].to_numpy().mean(axis=0) > _WARMEST_PERMAFROST
    dry = 1.0 - land.wetland - land.lake - RIVERS
    out = {code: np.zeros(land.size) for code in CLASSES}
    out["TUN"], out["BOR"] = np.where(tundra, dry, 0.0), np.where(tundra, 0.0, dry)
    out["WTU"] = np.where(tundra, land.wetland, 0.0)
    out["PEB"] = np.where(~tundra & frozen, land.wetland, 0.0)
    for code, share in PEAT.items():
        out[code] = np.where(~tundra & ~frozen, share * land.wetland, 0.0)
    out |= {code: share * land.lake for code, share in LAKES.items()}
    return out | {code: np.full(land.size, share * RIVERS) for code, share in RIVERS_OF.items()}


def mapped_cover(nature: Nature) -> dict[str, Array]:
    """`true_cover` with the error of a map: the logarithm of each class is off, half of it alike in all cells."""
    land, settings = nature.land, nature.settings
    names = [f"cover/{code}" for code in CLASSES]
    fields = smooth_fields(settings.seed, names, land.lat, land.lon, length_km=_ERROR_KM)
    off = {}
    for code, share in true_cover(nature).items():
        common = named_rng(settings.seed, f"osse/cover/{code}/common").normal()
        z = np.sqrt(_COMMON) * common + np.sqrt(1.0 - _COMMON) * fields[f"cover/{code}"]
        off[code] = share * np.exp(settings.maps.cover_sd * z)
    total = sum(off.values())
    return {code: share / total for code, share in off.items()}


def write_fire(out: Path, nature: Nature) -> None:
    """A fire product: a flux dataset (time, lat, lon) with fFire, off by a factor of each sector and year.

    Sea, and ice and shores that the world leaves out, hold 0, as in products of the whole globe.
    """
    land, months = nature.land, nature.months
    groups = np.array([name.partition("/")[0] for name in strata(nature)])
    sd, seen = nature.settings.maps.fire_sd, months["fFire"].to_numpy().copy()
    for sector in np.unique(groups):
        for i, year in enumerate(nature.weather.years):
            z = named_rng(nature.settings.seed, f"osse/fire product/{sector}/{year}").normal()
            seen[12 * i : 12 * i + 12, groups == sector] *= np.exp(sd * z - 0.5 * sd**2)
    coords = {"time": months["time"].to_numpy(), "lat": land.grid.y, "lon": land.grid.x}
    fire = xr.DataArray(
        np.nan_to_num(land.on_grid(seen)), coords, ("time", "lat", "lon"), "fFire", FLUXES["fFire"].attributes
    )
    ds = make_flux_dataset(
        {"fFire": fire},
        approach="inventory",
        source="a fire product of a made-up world",
        coverage=1.0,
    )
    # nothing that says when it was made
    ds.attrs["history"] = "made by talik.osse"
    del ds.attrs["talik_code"]
    write_dataset(out, ds, since="days since 1900-01-01")


def _with_odds(share: Array, log_factor: float) -> Array:
    """A share whose odds are changed by a factor: what is nearly everything has little room."""
    more = share * np.exp(log_factor)
    return np.asarray(more / (1.0 - share + more))


def _half_degrees(nature: Nature) -> tuple[npt.NDArray[np.int64], Array, Array, Array, Array]:
    """Half-degree cells with land in cells of the world: number of that cell, lon, lat, land in percent and in m2."""
    land = nature.land
    edges = land.grid.y_edges
    fine = LatLonGrid.regular(CELL_DEGREES, lat=(float(np.floor(edges[0])), float(np.ceil(edges[-1]))))
    share = land_fraction(fine).to_numpy()
    row = np.searchsorted(edges, fine.y, side="right") - 1
    column = np.searchsorted(land.grid.x_edges, fine.x, side="right") - 1
    number = np.full(land.grid.shape, -1)
    number[land.row, land.column] = np.arange(land.size)
    inside = (row >= 0) & (row < land.grid.shape[0])
    cell = np.where(inside[:, None], number[np.clip(row, 0, land.grid.shape[0] - 1)][:, column], -1)
    percent = np.round(100.0 * share, _DIGITS)
    j, i = np.nonzero((cell >= 0) & (percent > 0.0))
    area = share[j, i] * fine.cell_area().to_numpy()[j, i]
    return cell[j, i], fine.x[i], fine.y[j], percent[j, i], area
