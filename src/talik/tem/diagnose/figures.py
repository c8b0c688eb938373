"""Figures of a factorial run: series by scenario, carbon by depth, effects of the factors, maps."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from talik.regions.axes import even_axis
from talik.report.style import (
    BLUE,
    GREEN,
    GREY,
    INCHES,
    INK,
    ORANGE,
    PURPLE,
    RED,
    look,
    quiet,
    zero_line,
)
from talik.tem.diagnose.diagnostics import Diagnostics
from talik.tem.diagnose.effects import DIMENSION
from talik.tem.diagnose.region import FactorialRun, checked, seconds_of

PANELS: dict[str, str] = {
    "area": "Permafrost area",
    "alt": "Mean active layer",
    "npp": "NPP",
    "rh": "RH",
    "rhPermafrost": "RH of thawed carbon",
    "nep": "NEP",
    "cVeg": "Vegetation carbon",
    "cSoilActive": "Soil carbon, active layer",
    "cSoilPermafrost": "Soil carbon, permafrost",
    "ecoC": "Ecosystem carbon",
    "thawedCarbon": "Thawed carbon",
    "thawedNitrogen": "Thawed nitrogen",
}
"""Panels of the series, in order, and their titles."""
EFFECT_PANELS = {"npp": "NPP, summed", "rh": "RH, summed", "nep": "NEP, summed", "ecoC": "Ecosystem carbon"}
MAPS: dict[str, tuple[str, str, str]] = {
    "alt": ("Active layer in the reference year", "m", "YlGnBu"),
    "altChange": ("Change of the active layer", "m", "RdBu_r"),
    "permafrostLoss": ("Permafrost lost", "share of cell", "OrRd"),
    "thawedCarbon": ("Thawed carbon", "kg C m⁻²", "YlOrBr"),
    "decomposed": ("RH of thawed carbon, summed", "kg C m⁻²", "YlOrRd"),
}
"""Maps in order: title, units, colours."""
_COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE)


def time_series(d: Diagnostics) -> Figure | None:
    """Area, active layer, fluxes and pools of the reference run by scenario, the history in grey; None without any."""
    names = [name for name in PANELS if name in d.series or name in d.frozen]
    if not names:
        return None
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    with look():
        figure = Figure(figsize=(INCHES["wide"], 2.2 * rows + 0.5), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for ax, name in zip(axes, names, strict=False):
            _series_panel(ax, d, name)
        for ax in axes[len(names) :]:
            ax.set_visible(False)
        handles = [Line2D([], [], color=_colour(d, s), lw=2, label=s) for s in d.scenarios]
        if d.history or d.frozen_history:
            handles.insert(0, Line2D([], [], color=GREY, lw=2, label="history"))
        if "alt_remaining" in d.frozen:
            handles.append(Line2D([], [], color=INK, lw=1, ls=":", label="only where permafrost stays"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def depth_bars(d: Diagnostics) -> Figure | None:
    """Thawed and decomposed carbon by metre of depth at the end, and the decomposed share; None without layers."""
    if "fraction" not in d.depth:
        return None
    last = d.depth.sel({DIMENSION: d.design.reference}, drop=True).isel(decade=-1)
    labels = [
        f"{top:g}–{bottom:g}" for top, bottom in zip(last["top"].values, last["bottom"].values, strict=True)
    ]
    width = 0.8 / len(d.scenarios)
    with look():
        figure = Figure(figsize=(INCHES["wide"], 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for k, scenario in enumerate(d.scenarios):
            at = np.arange(len(labels)) + (k - (len(d.scenarios) - 1) / 2) * width
            of = last.sel(scenario=scenario)
            colour = _colour(d, scenario)
            left.barh(at, of["thawed"], height=0.92 * width, color=colour, alpha=0.45)
            left.barh(at, of["decomposed"], height=0.92 * width, color=colour)
            right.barh(at, 100.0 * of["fraction"], height=0.92 * width, color=colour)
        left.set_yticks(range(len(labels)), labels)
        left.invert_yaxis()
        left.set_ylabel("depth, m")
        left.set_title("Carbon thawed and decomposed")
        left.set_xlabel(f"Pg C, {d.reference_year}–{int(last['decade'])}")
        right.set_title("Decomposed share of thawed carbon")
        right.set_xlabel("%")
        for ax in (left, right):
            quiet(ax)
            ax.xaxis.set_major_locator(MaxNLocator(5))
        handles = [Patch(color=_colour(d, s), label=s) for s in d.scenarios]
        handles.append(Patch(color=INK, alpha=0.35, label="thawed"))
        handles.append(Patch(color=INK, label="of it decomposed"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def effect_bars(d: Diagnostics) -> Figure | None:
    """Effects of the factors and their pairs on summed fluxes and ecosystem carbon at the end; None without any."""
    rows = [r for r in d.effect_rows(EFFECT_PANELS) if r["kind"] == "effect"]
    names = [name for name in EFFECT_PANELS if any(r["variable"] == name for r in rows)]
    if not names:
        return None
    sets = list(dict.fromkeys(str(r["factors"]) for r in rows))
    width = 0.8 / len(d.scenarios)
    with look():
        figure = Figure(figsize=(INCHES["wide"], 1.5 + 0.34 * len(sets)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
        for ax, name in zip(axes, names, strict=True):
            for k, scenario in enumerate(d.scenarios):
                at = np.arange(len(sets)) + (k - (len(d.scenarios) - 1) / 2) * width
                chosen = (r for r in rows if (r["variable"], r["scenario"]) == (name, scenario))
                values = {r["factors"]: r["value"] for r in chosen}
                lengths = np.array([values[s] for s in sets], dtype=np.float64)
                ax.barh(at, lengths, height=0.92 * width, color=_colour(d, scenario), zorder=2)
            ax.set_yticks(range(len(sets)), [_factors(s) for s in sets])
            ax.set_title(EFFECT_PANELS[name])
            ax.set_xlabel("Pg C")
            ax.xaxis.set_major_locator(MaxNLocator(3))
            zero_line(ax)
            quiet(ax)
        axes[0].invert_yaxis()
        handles = [Patch(color=_colour(d, s), label=s) for s in d.scenarios]
        figure.suptitle(
            f"Effects by {d.last_year}: the run in which everything varies less the one in which these are fixed",
            fontsize=10,
            x=0.01,
            ha="left",
        )
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def map_fields(run: FactorialRun, last_year: int) -> xr.Dataset:
    """(scenario, cell) what `MAPS` shows of the reference run, of the variables there are; float64, NaN outside."""
    ds = run.experiments.sel({DIMENSION: run.design.reference}, drop=True)
    first, last = {"year": run.reference_year}, {"year": last_year}
    out = xr.Dataset()
    if "activeLayerThickness" in ds:
        thickness = checked(ds, "activeLayerThickness", "m")
        out["alt"] = thickness.sel(first, drop=True)
        out["altChange"] = thickness.sel(last, drop=True) - out["alt"]
    if "permafrostFraction" in ds:
        fraction = checked(ds, "permafrostFraction", "1")
        out["permafrostLoss"] = fraction.sel(first, drop=True) - fraction.sel(last, drop=True)
    if "thawedCarbon" in ds:
        out["thawedCarbon"] = checked(ds, "thawedCarbon", "kg m-2").sel(last, drop=True)
    if "rhPermafrost" in ds:
        since = checked(ds, "rhPermafrost", "kg m-2 s-1").sel(year=slice(run.reference_year, last_year))
        out["decomposed"] = (since.astype(np.float64) * seconds_of(since["year"])).sum("year")
    inside = run.reference_fraction() > 0.0
    place = {"lat": ds["lat"].compute(), "lon": ds["lon"].compute()}
    return out.astype(np.float64).where(inside).compute().assign_coords(place)


def maps(fields: xr.Dataset, scenario: str) -> Figure | None:
    """Polar maps of `map_fields` of one scenario; None if the cells do not lie on an even grid.

    Both ends of a colour scale are percentiles of all scenarios, so scenarios can be compared.
    """
    from talik.report.maps import polar_map

    names = [name for name in MAPS if name in fields]
    if not names or on_grid(fields[names[0]].isel(scenario=0)) is None:
        return None
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    lat_min = max(20.0, 5.0 * math.floor(float(fields["lat"].min()) / 5.0))
    with look():
        figure = Figure(figsize=(3.7 * columns, 4.4 * rows), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for ax, name in zip(axes, names, strict=False):
            title, units, colours = MAPS[name]
            data = on_grid(fields[name].sel(scenario=scenario))
            if data is None:
                continue
            low, high = limits(fields[name].values, centred=colours == "RdBu_r")
            polar_map(data, axes=ax, lat_min=lat_min, label=units, cmap=colours, vmin=low, vmax=high)
            ax.set_title(title, fontsize=9.5, loc="center", pad=12)
        for ax in axes[len(names) :]:
            ax.set_visible(False)
        figure.suptitle(scenario, fontsize=11, fontweight="bold")
    return figure


def limits(values: np.ndarray, *, centred: bool) -> tuple[float, float]:
    """Ends of a colour scale: the 98th percentile of the size, from 0 or, if centred, from its negative."""
    finite = np.abs(values[np.isfinite(values)])
    high = float(np.quantile(finite, 0.98)) if finite.size else 0.0
    high = high if high > 0.0 else 1.0
    return (-high if centred else 0.0), high


def on_grid(values: xr.DataArray) -> xr.DataArray | None:
    """(cell,) values with coordinates lat and lon as (lat, lon), NaN elsewhere; None if no even grid holds them."""
    lat, lon = (even_axis(values[name].values.astype(float)) for name in ("lat", "lon"))
    if lat is None or lon is None:
        return None
    image = np.full((lat.size, lon.size), np.nan)
    rows = np.rint((values["lat"].values - lat[0]) / (lat[1] - lat[0])).astype(int)
    columns = np.rint((values["lon"].values - lon[0]) / (lon[1] - lon[0])).astype(int)
    image[rows, columns] = values.values
    return xr.DataArray(image, dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name=values.name)


def _series_panel(ax: Axes, d: Diagnostics, name: str) -> None:
    for scenario in d.scenarios:
        whole = d.reference(name, scenario)
        past = whole.sel(year=whole["year"] <= d.reference_year)
        ax.plot(past["year"], past, color=GREY, lw=1.2, zorder=2)
        future = whole.sel(year=whole["year"] >= d.reference_year)
        ax.plot(future["year"], future, color=_colour(d, scenario), lw=1.6, zorder=3)
        if name == "alt" and "alt_remaining" in d.frozen:
            left = d.values("alt_remaining", scenario).sel({DIMENSION: d.design.reference})
            ax.plot(left["year"], left, color=_colour(d, scenario), lw=1.0, ls=":", zorder=3)
    values = d.values(name, d.scenarios[0])
    units, species = str(values.attrs.get("units", "")), str(values.attrs.get("species", ""))
    mass, _, per = units.partition(" ")
    shown = " ".join(part for part in (mass, species, per.replace("yr-1", "yr⁻¹")) if part)
    ax.set_ylabel({"1e6 km2": "10⁶ km²"}.get(units, shown))
    ax.set_title(PANELS[name])
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.grid(axis="y", color="#e6e9ed", lw=0.8, zorder=0)


def _factors(names: str) -> str:
    """Names of factors as a person writes them."""
    return names.replace("co2", "CO₂").replace("&", " and ")


def _colour(d: Diagnostics, scenario: str) -> str:
    return _COLOURS[d.scenarios.index(scenario) % len(_COLOURS)]
