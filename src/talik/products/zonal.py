"""Regional budgets by year and season, with area, per-area mean and coverage, over one domain that never changes.

The domain of a zone is the part of it where the product has data. That part must be the same in every step, or the
budget moves because the area does; the check is exact: cells that have data in some steps only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from talik.errors import CoverageError, GridError
from talik.flux import as_units
from talik.products.seasons import ANNUAL, Season, season, windows
from talik.products.steps import Steps, named, rate_in_grams, steps_of, sum_windows
from talik.regions import conform, grid_of, regional_mean, regional_total
from talik.regions.grid import Grid
from talik.regions.totals import OnHole

MaskRule: TypeAlias = Literal["error", "flag", "common"]
RATE = "kg m-2 s-1"
MIN_COVERAGE = 0.5
"""The least share of a region that must have data for its budget to be printed."""
_ANY = 1e-9
_MASK_RULES = ("error", "flag", "common")


@dataclass(frozen=True, eq=False, kw_only=True)
class Zones:
    """Regions and how to weigh the cells of a product in them; the one thing every budget here is asked with.

    weights : ``(region, ...)`` from :mod:`talik.regions.masks`: sectors, bands, polygons, pixel classes
        (`class_fractions`), and pairs of them (`cross`); several sets are put together with `join_regions`.
    land_fraction : land share of each cell, e.g. valid 1-km cells over all in an 8-km cell. It multiplies a flux per
        land area in zones that cover everything; a zone that covers land only holds it already.
    valid_fraction : share of each cell that its value stands for, as :func:`talik.regions.regrid` gives.
    min_coverage : the least share of a zone with data. on_hole : below it, ``"nan"`` or ``"error"``.
    mask : what happens if cells have data in some steps only. ``"error"`` names the steps; ``"common"`` takes the cells
        that always have data; ``"flag"`` goes on and counts them in ``cells_lacking``.
    """

    weights: xr.DataArray
    land_fraction: xr.DataArray | None = None
    valid_fraction: xr.DataArray | None = None
    min_coverage: float = MIN_COVERAGE
    on_hole: OnHole = "nan"
    mask: MaskRule = "error"

    def __post_init__(self) -> None:
        if "region" not in self.weights.dims:
            raise GridError(
                f"weights {self.weights.name!r} have no 'region' dimension; use expand_dims(region=['name'])."
            )
        if self.mask not in _MASK_RULES:
            raise CoverageError(f"expected mask {', '.join(_MASK_RULES)}; found {self.mask!r}.")
        if not 0.0 < self.min_coverage <= 1.0 or self.on_hole not in ("error", "nan"):
            raise CoverageError(
                f"expected 0 < min_coverage <= 1 and on_hole 'error' or 'nan'; found {self.min_coverage}, "
                f"{self.on_hole!r}."
            )

    @property
    def regions(self) -> list[str]:
        """Names of the regions."""
        return [str(r) for r in self.weights["region"].values]

    @property
    def grid(self) -> Grid:
        """The grid of the weights, which the product must be on."""
        return grid_of(self.weights)

    def only(self, number: int) -> Zones:
        """These zones with one region alone, by its place."""
        return replace(self, weights=self.weights.isel(region=[number]))

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `regional_total` that say how cells are weighed."""
        return {"land_fraction": self.land_fraction, "valid_fraction": self.valid_fraction}


def join_regions(*weights: xr.DataArray) -> xr.DataArray:
    """Several sets of region weights on one grid as one; GridError if names repeat or one covers land and one all."""
    covers = {w.attrs.get("covers") for w in weights}
    names = [str(r) for w in weights for r in w["region"].values]
    twice = sorted({n for n in names if names.count(n) > 1})
    if len(covers) != 1 or twice:
        raise GridError(
            f"join_regions: expected sets that all cover 'land' or all cover 'all', each name once; found covers "
            f"{sorted(map(str, covers))}, twice {twice or 'none'}. Rename the regions, or ask for the sets apart."
        )
    keep = all("region_area" in w.coords for w in weights)
    parts = [w if keep else w.drop_vars("region_area", errors="ignore") for w in weights]
    return xr.concat(parts, dim="region", join="exact", coords="minimal", compat="equals").assign_attrs(
        weights[0].attrs
    )


def cells_lacking(flux: xr.DataArray, weights: xr.DataArray, grid: Grid | None = None) -> xr.DataArray:
    """Cells of the regions that have data in some step but not in this one, (time, ...); zero if the mask is static.

    A cell that is lost while another is gained shows too. Lazy.
    """
    grid = grid_of(flux) if grid is None else grid
    inside = (conform(weights, grid) > 0.0).any("region")
    valid = conform(flux, grid).notnull() & inside
    dims = list(grid.dims)
    out = valid.any("time").sum(dims) - valid.sum(dims)
    return out.rename("cells_lacking").assign_attrs(
        units="1", long_name="cells with data in other steps but not in this one"
    )


@dataclass(frozen=True, eq=False)
class RegionalSeries:
    """One flux over the regions in every time step: all that budgets and indicators need, from one pass over the data.

    `totals` : ``mass`` in Tg, ``area`` in m2, ``coverage`` (time, ..., region) and ``cells_lacking`` (time, ...).
    """

    variable: str
    totals: xr.Dataset
    steps: Steps
    zones: Zones

    def budgets(
        self,
        seasons: Sequence[str | Season] = (ANNUAL,),
        *,
        years: Sequence[int] | None = None,
        incomplete: str = "nan",
    ) -> xr.Dataset:
        """Budget of each region in each season of each year, and what it stands on, (season, year, ..., region).

        Returns ``budget`` (Tg year-1 of the variable's species, its sign kept), ``mean`` (g m-2 year-1 over the area
        with data), ``area`` (m2 with data), ``coverage`` (least share of the region with data in any step of the
        season) and the coordinate ``complete`` (season, year). ``attrs["cells_lacking"]`` is 0 unless the zones allow
        a moving mask. years, incomplete : as for `seasonal_sums`; ``"drop"`` keeps the years that are complete in every
        season asked for.

        CoverageError: incomplete years.
        """
        chosen = [season(s) for s in seasons]
        names = [s.name for s in chosen]
        if len(set(names)) < len(names) or not names:
            raise CoverageError(f"expected seasons with different names, at least one; found {names}.")
        parts = [self._season(s, years, incomplete) for s in chosen]
        # data_vars="all": two seasons with equal numbers are still two
        out = xr.concat(
            parts, dim="season", data_vars="all", join="exact", coords="minimal", compat="override"
        )
        out = out.rename(whole="complete").set_coords("complete").assign_coords(season=names)
        if incomplete == "drop":
            out = out.isel(year=np.flatnonzero(out["complete"].all("season").values))
            if not out.sizes["year"]:
                raise CoverageError(f"{self.variable!r}: no year is complete in {named(names)}.")
        out["mean"] = 1e12 * out["budget"] / out["area"].where(out["area"] > 0.0)
        kept = dict(self.totals["mass"].attrs)
        out["budget"].attrs = {**kept, "units": "Tg year-1", "cell_methods": "area: time: sum"}
        out["mean"].attrs = {**kept, "units": "g m-2 year-1", "cell_methods": "area: mean time: sum"}
        out["area"].attrs = {"units": "m2", "long_name": "area with data"}
        out["coverage"].attrs = {"units": "1", "long_name": "share of the region's area that had data"}
        out["complete"].attrs = {"long_name": "the steps fill the whole season"}
        if self.totals["cells_lacking"].chunks is None:
            out.attrs["cells_lacking"] = int(self.totals["cells_lacking"].max())
        out = out.assign_attrs(
            variable=self.variable, **{k: kept[k] for k in ("species", "positive") if k in kept}
        )
        return out.transpose("season", "year", ..., "region")

    def _season(self, chosen: Season, years: Sequence[int] | None, incomplete: str) -> xr.Dataset:
        found = windows(self.steps, chosen, years)
        label = f"{self.variable!r} {chosen.name}"
        mass = sum_windows(
            self.totals["mass"], found, what=label, incomplete="nan" if incomplete == "drop" else incomplete
        )
        seconds = self.steps.seconds.drop_vars("time")
        length = sum_windows(self.steps.seconds, found, what=label)
        area = sum_windows(self.totals["area"] * seconds, found, what=label) / length
        coverage = sum_windows(self.totals["coverage"], found, what=label, how="min").drop_vars("complete")
        whole = xr.DataArray(mass["complete"].values, dims="year")
        held = xr.Dataset({"budget": mass, "area": area}).drop_vars("complete")
        return held.assign(
            coverage=coverage.assign_coords(year=mass["year"].drop_vars("complete")), whole=whole
        )


def regional_series(ds: xr.Dataset, variable: str, zones: Zones) -> RegionalSeries:
    """One flux of `ds` over the regions in every time step, with mask and holes judged as the zones say.

    ds : flux dataset on the lat-lon or EPSG:6931 grid of the weights. Weights and areas are those of
        :func:`talik.regions.regional_total`. With ``mask="error"`` or ``on_hole="error"`` the (small) totals are
        computed, to be judged; else dask stays lazy.

    CoverageError: the mask moves, or a hole. FluxError, UnitsError, GridError: the dataset does not fit.
    """
    rate_in_grams(ds, variable)
    grid, steps = zones.grid, steps_of(ds)
    flux = as_units(ds[variable], RATE)
    if zones.mask == "common":
        flux = flux.where(flux.notnull().all("time")).assign_attrs(flux.attrs)
    total = regional_total(
        flux, zones.weights, grid=grid, min_coverage=zones.min_coverage, on_hole="nan", **zones.options
    )
    out = xr.Dataset(
        {
            "mass": total[str(flux.name)] * steps.seconds.drop_vars("time") * 1e-9,
            "area": zone_area(flux.notnull(), zones, like=flux),
            "coverage": total["coverage"],
        }
    )
    out["cells_lacking"] = cells_lacking(flux, zones.weights, grid)
    if zones.mask == "error" or zones.on_hole == "error":
        out = out.compute()
        _judge(out, zones, variable, steps)
    kept = {k: v for k, v in ds[variable].attrs.items() if k in ("species", "positive", "long_name")}
    out["mass"].attrs = {**kept, "units": "Tg"}
    return RegionalSeries(variable, out, steps, zones)


def budgets(
    ds: xr.Dataset,
    variable: str,
    zones: Zones,
    seasons: Sequence[str | Season] = (ANNUAL,),
    *,
    years: Sequence[int] | None = None,
    incomplete: str = "nan",
) -> xr.Dataset:
    """Budget of each region in each season of each year: `regional_series` and `RegionalSeries.budgets` in one call.

    Source: Virkkala et al. 2025.
    """
    return regional_series(ds, variable, zones).budgets(seasons, years=years, incomplete=incomplete)


def zone_mean(field: xr.DataArray, zones: Zones) -> xr.DataArray:
    """Area-weighted mean of a field over the cells of each region that have data, (..., region), in its units.

    ``field.attrs["area_basis"]`` says which area counts, as for a flux. Lazy.
    """
    shown = field.assign_attrs(units=RATE).rename("field")  # any density is averaged alike
    out = regional_mean(
        shown, zones.weights, grid=zones.grid, min_coverage=_ANY, on_hole="nan", **zones.options
    )["field"]
    return out.assign_attrs(units=field.attrs.get("units", "")).rename(field.name)


def zone_area(where: xr.DataArray, zones: Zones, *, like: xr.DataArray) -> xr.DataArray:
    """Area in m2 of the cells of each region at which `where` is true, of the kind of area that `like` is per.

    Land in zones that cover land only; else land or the whole cell, as ``like.attrs["area_basis"]`` says. Lazy.
    """
    basis = "land" if zones.weights.attrs.get("covers") == "land" else like.attrs.get("area_basis")
    one = where.astype(np.float64).where(where).assign_attrs(units=RATE, area_basis=basis).rename("area")
    area = regional_total(
        one, zones.weights, grid=zones.grid, min_coverage=_ANY, on_hole="nan", **zones.options
    )["area"]
    return area.fillna(0.0).assign_attrs(units="m2", long_name="area")


def _judge(totals: xr.Dataset, zones: Zones, variable: str, steps: Steps) -> None:
    lacking = totals["cells_lacking"]
    over = [d for d in lacking.dims if d != "time"]
    worst = lacking.max(over) if over else lacking
    if zones.mask == "error" and bool((worst > 0).any()):
        at = np.flatnonzero(worst.values > 0)
        when = [f"{steps.name(i)} ({int(worst[i])} cells)" for i in at[:6]]
        raise CoverageError(
            f"{variable!r}: the valid cells change with time; data are missing in {len(at)} steps, first "
            f"{named(when)}, where others have them. A budget over a moving area has false trends. Fill the "
            "gaps, or ask for mask='common' (cells that always have data) or mask='flag'."
        )
    if zones.on_hole == "error":
        share = totals["coverage"].fillna(0.0)
        least = share.min([d for d in share.dims if d != "region"])
        short = [
            f"{r} ({100 * float(v):.1f} %)"
            for r, v in zip(zones.regions, least.values, strict=True)
            if v < zones.min_coverage - 1e-6
        ]
        if short:
            raise CoverageError(
                f"{variable!r}: data cover too little of {named(short)}; expected at least "
                f"{100 * zones.min_coverage:g} %. Choose regions inside the data, lower min_coverage, or ask for "
                "on_hole='nan'."
            )
