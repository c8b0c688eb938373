"""What an ensemble says of each pixel, in the currency of the package: quantiles, annual members, diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from talik.errors import InputError
from talik.flux.dataset import CONVENTIONS, make_flux_dataset
from talik.flux.table import FLUXES
from talik.fusion.ensemble import DIAGNOSTICS, AnyFloat, Array, Ensemble, leaf_area
from talik.fusion.parameters import PARAMETERS, POOLS
from talik.regions.scattered import on_axes
from talik.sources.climate_months import month_stamps

Fill = Literal["none", "flagged"]

QUANTILES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)
CURRENCY: Mapping[str, tuple[str, str]] = {
    "gpp": ("gpp", "down"),
    "npp": ("npp", "down"),
    "ra": ("ra", "up"),
    "rh": ("rh", "up"),
    "nee": ("nee", "up"),
    "fFire": ("fire", "up"),
    "nbp": ("nbe", "up"),
}
"""Variables of the flux table: the flux of an ensemble that each is, and where that is positive."""
OF_FIRE = ("fFire", "nbp")
"""Those that hold fire: there are none where nothing is known of it."""
UNKNOWN = "unknown_disturbance"
"""Attribute that names the disturbance of which nothing is known."""
POOL_NAMES: Mapping[str, tuple[str, str]] = {
    "cLabile": ("labile", "carbon that plants keep to make leaves"),
    "cLeaf": ("foliage", "carbon in leaves"),
    "cRoot": ("root", "carbon in fine roots"),
    "cWood": ("wood", "carbon in wood, coarse roots with it"),
    "cLitter": ("litter", "carbon in litter of leaves and fine roots"),
    "cSoil": ("som", "soil organic carbon, woody debris with it"),
}
"""Pools at the end of each month by their CMIP names (cLabile has none there)."""
ANNUAL = "_annual"
"""Suffix of the annual means of each member."""
GOOD, MAP_QUALITY, UNCONVERGED, FAILED = range(4)
QUALITY = ("converged", "map_quality", "unconverged", "failed")
"""Meanings of the variable ``quality``, in the order of its values."""
NO_PIXEL = -1
"""``quality`` of a place of a grid without a pixel."""
SOURCE = "DALEC2 with Bayesian model-data fusion (talik)"
_PER_SECOND = 1e-3 / 86_400.0
"""kg m-2 s-1 in 1 g m-2 d-1."""
_CELLS_AT_ONCE = 64


def summarise(
    ensemble: Ensemble, *, quantiles: Sequence[float] = QUANTILES, unknown: Sequence[str] = ()
) -> xr.Dataset:
    """Quantiles over members of everything, annual fluxes and parameters of each member, and diagnostics.

    Dimensions quantile, time (with bounds), cell, member, year, parameter. Returns

    - ``gpp npp ra rh nee fFire nbp`` (quantile, time, cell): kg m-2 s-1 of C, directions of the flux table;
    - the same with ``_annual`` (cell, member, year): mean rate of each whole calendar year;
    - ``cLabile ... cSoil`` and ``cVeg`` (quantile, time, cell): kg m-2 at the end of the month;
    - ``lai`` (quantile, time, cell); ``cue``, ``mrt`` (quantile, cell): ratios of each member, then summarised;
    - ``parameters`` (cell, member, parameter); ``rhat`` (cell, parameter); ``rhat_<output>`` and `DIAGNOSTICS` (cell);
    - ``quality`` (cell): `QUALITY` by number; ``reason`` (cell).

    Quantiles are linear between order statistics (Hyndman and Fan 1996, type 7). Every quantile is of one variable:
    those of NPP - Rh are not differences of those of NPP and Rh. A pixel that failed is NaN. Nothing is left
    out here; `flux_dataset` decides what is handed on. unknown : disturbance (burned, loss) of which nothing is known
    and that was not simulated, kept in the attribute `UNKNOWN`; without burned there are no fFire and nbp.
    InputError: levels that are not ascending within 0..1.
    """
    levels = np.asarray(quantiles, float)
    if levels.size == 0 or np.any(np.diff(levels) <= 0) or levels[0] < 0 or levels[-1] > 1:
        raise InputError(f"quantiles are {tuple(quantiles)}; expected them ascending within 0..1.")
    ds = _frame(ensemble, levels)
    for name, (flux, positive) in CURRENCY.items():
        if name in OF_FIRE and "burned" in unknown:
            continue
        var = FLUXES[name]
        scale = _PER_SECOND if positive == var.positive else -_PER_SECOND
        values = ensemble.fluxes[flux]
        ds[name] = (
            ("quantile", "time", "cell"),
            _over_members(partial(_scaled, values, scale), ensemble, levels),
            var.attributes,
        )
        annual = var.attributes | {"long_name": f"{var.long_name}, mean of the year"}
        annual.pop("standard_name", None)
        ds[f"{name}{ANNUAL}"] = (("cell", "member", "year"), _annual(values, ensemble, scale), annual)
    _add_stocks(ds, ensemble, levels)
    for name, ratio, units, meaning in (
        ("cue", ensemble.cue, "1", "carbon use efficiency, NPP over GPP"),
        ("mrt", ensemble.mrt, "year", "residence time of carbon in litter and soil, without loss by fire"),
    ):
        ds[name] = (
            ("quantile", "cell"),
            np.quantile(ratio, levels, axis=1),
            {"units": units, "long_name": meaning},
        )
    _add_diagnostics(ds, ensemble)
    told = {UNKNOWN: ", ".join(unknown)} if unknown else {}
    return ds.assign_attrs(
        Conventions=CONVENTIONS, source=SOURCE, approach="fusion", members=ensemble.size[1], **told
    )


def quality(ensemble: Ensemble) -> NDArray[np.int8]:
    """(P,) what may be done with each pixel: places in `QUALITY`."""
    out = np.full(ensemble.size[0], UNCONVERGED, np.int8)
    out[ensemble.diagnostics["map_quality"]] = MAP_QUALITY
    out[ensemble.diagnostics["converged"]] = GOOD
    out[ensemble.failed] = FAILED
    return out


def unknown_in(summary: xr.Dataset) -> tuple[str, ...]:
    """Disturbance of which nothing is known in a summary or flux dataset."""
    return tuple(name for name in str(summary.attrs.get(UNKNOWN, "")).split(", ") if name)


def flux_dataset(
    summary: xr.Dataset, *, fill: Fill = "none", grid: bool = True, title: str = ""
) -> xr.Dataset:
    """The flux dataset of a summary: quantiles of the fluxes of pixels that may be used, and ``coverage``.

    Where nothing is known of fire it has neither fFire nor nbp, and says so in the attribute `UNKNOWN`.

    fill : "none" leaves pixels without convergence empty (coverage 0), "flagged" keeps them; those that failed are
    empty in both, and those that converged for maps only stay in both. ``quality`` says which is which. grid : on axes
    lat and lon where the pixels are points of an even grid, else a list of cells.

    Where no pixel may be used all is empty and coverage 0 everywhere. InputError: another fill.
    """
    if fill not in ("none", "flagged"):
        raise InputError(f"fill is {fill!r}; expected 'none' or 'flagged'.")
    worst = MAP_QUALITY if fill == "none" else UNCONVERGED
    usable = summary["quality"] <= worst
    fluxes = [name for name in CURRENCY if name in summary]
    held = summary[[*fluxes, "quality", "time_bnds"]].drop_vars("pixel")
    held = held.assign({name: held[name].where(usable) for name in fluxes})
    held["coverage"] = usable.astype(float).drop_attrs()
    held["quality"] = held["quality"].astype(float)  # a grid has places without a pixel
    bounds = held["time_bnds"]
    placed = on_axes(held.drop_vars("time_bnds")) if grid else held.drop_vars("time_bnds")
    out = make_flux_dataset(
        {name: placed[name] for name in fluxes},
        approach="fusion",
        source=SOURCE,
        coverage=placed["coverage"].fillna(0.0),
        time_bounds=bounds,
        title=title,
    )
    out["quality"] = placed["quality"].fillna(NO_PIXEL).astype(np.int8).assign_attrs(summary["quality"].attrs)
    out["quality"].attrs["_FillValue"] = np.int8(NO_PIXEL)
    told = {UNKNOWN: summary.attrs[UNKNOWN]} if UNKNOWN in summary.attrs else {}
    counts = ", ".join(f"{n} {QUALITY[i]}" for i, n in enumerate(_counts(summary)))
    return out.assign_attrs(pixels=counts, **told)


def join_summaries(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """The pixels of several summaries, in the order given. InputError: other times, quantiles or members."""
    if not parts:
        raise InputError("fusion: no summaries to join.")
    try:
        return xr.concat(
            parts, dim="cell", data_vars="minimal", coords="minimal", compat="equals", join="exact"
        ).assign_attrs(parts[0].attrs)
    except (ValueError, xr.MergeError) as err:
        raise InputError(
            f"fusion: summaries do not fit together ({err}). Make them with one project and one version."
        ) from err


def _frame(ensemble: Ensemble, levels: Array) -> xr.Dataset:
    serial = ensemble.serial
    stamps = month_stamps(serial)
    bounds = np.stack([stamps, month_stamps(serial + 1)], axis=1)
    return xr.Dataset(
        coords={
            "quantile": ("quantile", levels, {"units": "1", "long_name": "quantile"}),
            "time": ("time", stamps, {"standard_name": "time", "axis": "T", "bounds": "time_bnds"}),
            "time_bnds": (("time", "bnds"), bounds),
            "year": _whole_years(ensemble),
            "member": np.arange(ensemble.size[1]),
            "parameter": [p.name for p in PARAMETERS],
            "pixel": ("cell", np.array(ensemble.names, dtype=object), {"long_name": "name of the pixel"}),
            "lat": ("cell", ensemble.lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("cell", ensemble.lon, {"standard_name": "longitude", "units": "degrees_east"}),
        }
    )


def _add_stocks(ds: xr.Dataset, ensemble: Ensemble, levels: Array) -> None:
    dims = ("quantile", "time", "cell")
    pools = ensemble.pools
    for name, (pool, meaning) in POOL_NAMES.items():
        values = _over_members(partial(_scaled, pools[1:, POOLS.index(pool)], 1e-3), ensemble, levels)
        ds[name] = (dims, values, {"units": "kg m-2", "long_name": f"{meaning}, end of month"})
    ds["cVeg"] = (
        dims,
        _over_members(partial(_living, pools), ensemble, levels),
        {
            "units": "kg m-2",
            "long_name": "carbon in vegetation, end of month",
            "standard_name": "vegetation_carbon_content",
        },
    )
    ds["cSoil"].attrs["standard_name"] = "soil_carbon_content"
    ds["lai"] = (
        dims,
        _over_members(lambda at: leaf_area(pools[:, :, at], ensemble.parameters[at]), ensemble, levels),
        {"units": "1", "long_name": "leaf area index", "standard_name": "leaf_area_index"},
    )


def _add_diagnostics(ds: xr.Dataset, ensemble: Ensemble) -> None:
    ds["parameters"] = (
        ("cell", "member", "parameter"),
        ensemble.parameters,
        {"long_name": "parameters of members", "units_of_parameters": ", ".join(p.units for p in PARAMETERS)},
    )
    ds["rhat"] = (
        ("cell", "parameter"),
        ensemble.rhat,
        {"units": "1", "long_name": "rank-normalised split R-hat of parameters"},
    )
    for name, of in ensemble.rhat_outputs.items():
        ds[f"rhat_{name}"] = (
            "cell",
            of,
            {"units": "1", "long_name": f"rank-normalised split R-hat of {name}"},
        )
    for name, meaning in DIAGNOSTICS.items():
        values = ensemble.diagnostics[name]
        stored = values.astype(np.int8) if values.dtype == bool else values.astype(np.float64)
        ds[name] = ("cell", stored, {"units": "1", "long_name": meaning})
    ds["quality"] = (
        "cell",
        quality(ensemble),
        {
            "long_name": "what may be done with the pixel",
            "flag_values": np.arange(len(QUALITY), dtype=np.int8),
            "flag_meanings": " ".join(QUALITY),
        },
    )
    ds["reason"] = (
        "cell",
        np.array(ensemble.reason, dtype=object),
        {"long_name": "why it has not converged"},
    )


def _over_members(
    values: Callable[[slice], AnyFloat], ensemble: Ensemble, levels: Array
) -> NDArray[np.float32]:
    """Quantiles (quantile, time, cell) of what `values` gives for some cells, (time, cells, member).

    A few cells at a time: the copies that quantiles need would be as large as the ensemble.
    """
    pixels = ensemble.size[0]
    out = np.empty((levels.size, ensemble.years.size, pixels), np.float32)
    for start in range(0, pixels, _CELLS_AT_ONCE):
        at = slice(start, start + _CELLS_AT_ONCE)
        out[:, :, at] = np.quantile(np.asarray(values(at), np.float64), levels, axis=-1)
    return out


def _scaled(values: AnyFloat, scale: float, at: slice) -> AnyFloat:
    return values[:, at].astype(np.float64) * scale


def _living(pools: AnyFloat, at: slice) -> AnyFloat:
    """Carbon in plants at the end of each step (time, cells, member), kg m-2."""
    rows = [POOLS.index(pool) for pool in ("labile", "foliage", "root", "wood")]
    return np.asarray(1e-3 * pools[1:, rows, at].sum(axis=1, dtype=np.float64))


def _whole_years(ensemble: Ensemble) -> NDArray[np.int64]:
    years, counts = np.unique(ensemble.years, return_counts=True)
    whole: NDArray[np.int64] = years[counts == 12]
    return whole


def _annual(flux: AnyFloat, ensemble: Ensemble, scale: float) -> Array:
    """Mean rate of each whole calendar year (P, M, year), weighted by the days of its months."""
    serial = ensemble.serial
    days = (month_stamps(serial + 1) - month_stamps(serial)) / np.timedelta64(1, "D")
    years = _whole_years(ensemble)
    out = np.empty((*ensemble.size, years.size))
    for i, year in enumerate(years):
        steps = ensemble.years == year
        share = days[steps] / days[steps].sum()
        out[:, :, i] = scale * np.einsum("tpm,t->pm", flux[steps], share, dtype=np.float64)
    return out


def _counts(summary: xr.Dataset) -> list[int]:
    """Pixels of each quality."""
    return [int(n) for n in np.bincount(summary["quality"].to_numpy(), minlength=len(QUALITY))]
