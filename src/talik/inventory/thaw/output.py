"""A run as a dataset and as JSON."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import xarray as xr

from talik.inventory.limits import Limited
from talik.inventory.thaw.forcing import radiative_forcing
from talik.inventory.thaw.kernels import Array
from talik.inventory.thaw.posts import posts
from talik.inventory.thaw.result import Run, Span, TerrainRun
from talik.inventory.thaw.simulate import KINDS, Kind

LONG_NAMES: dict[Kind, str] = {
    "co2": "CO2 to the atmosphere, as mass of carbon",
    "ch4": "CH4 to the atmosphere, as mass of carbon",
    "balance": "carbon that leaves the land as CO2, as CH4 and with water",
}
CALENDAR = "noleap"


def dataset(run: Run, forcing: bool = False) -> xr.Dataset:
    """Areas, fluxes and, if asked for, radiative forcing, by compartment (a state of a part of a terrain) and year.

    `area` (compartment, date) in km2 on 1 January; `co2`, `ch4`, `balance` (compartment, time) in Tg yr-1 of carbon,
    means of calendar years with bounds, up positive; of the numbers as given, without draws, and of all states
    whatever the scope. `forcing_co2`, `forcing_ch4` (terrain, time) in W m-2 follow the scope and are NaN before
    scenarios begin. Years have 365 days.
    """
    rows = [
        (key, part, state, feature)
        for key, terrain in run.terrains.items()
        for part, course in terrain.courses.items()
        for state, feature in zip(course.states, course.features, strict=True)
    ]
    courses = [c for terrain in run.terrains.values() for c in terrain.courses.values()]
    years = courses[0].years
    begin = [cftime.datetime(year, 1, 1, calendar=CALENDAR) for year in years]
    middle = [cftime.datetime(year, 7, 2, 12, calendar=CALENDAR) for year in years[:-1]]
    ds = xr.Dataset(
        coords={
            "date": ("date", begin, {"long_name": "1 January, when areas hold"}),
            "time": ("time", middle, {"long_name": "middle of the year", "bounds": "time_bnds"}),
            "terrain": ("compartment", [r[0] for r in rows], {"long_name": "terrain"}),
            "part": ("compartment", [r[1] for r in rows], {"long_name": "part of the terrain"}),
            "state": ("compartment", [r[2] for r in rows], {"long_name": "state of the ground"}),
            "feature": (
                "compartment",
                np.array([r[3] for r in rows], dtype=np.int8),
                {
                    "long_name": "made by abrupt thaw",
                    "flag_values": np.array([0, 1], dtype=np.int8),
                    "flag_meanings": "no yes",
                },
            ),
        }
    )
    ds["time_bnds"] = ("time", "bound"), np.array([begin[:-1], begin[1:]]).T
    for name in ("date", "time", "time_bnds"):
        ds[name].encoding = {"units": f"days since {years[0]:04d}-01-01", "calendar": CALENDAR}
    area = np.concatenate([c.area[:, :, 0].T for c in courses])
    ds["area"] = (
        ("compartment", "date"),
        area,
        {"units": "km2", "long_name": "area of the state", "cell_methods": "date: point"},
    )
    for kind in KINDS:
        flux = np.concatenate([c.carbon[kind][:, :, 0].T for c in courses])
        attrs = {"units": "Tg yr-1", "species": "C", "positive": "up", "cell_methods": "time: mean"}
        ds[kind] = ("compartment", "time"), flux, {**attrs, "long_name": LONG_NAMES[kind]}
    if forcing:
        ds = ds.assign(_forcing(run, len(years) - 1))
    s = run.settings
    return ds.assign_attrs(
        Conventions="CF-1.11",
        title=f"Abrupt thaw, {run.table.scenarios[s.scenario]}, {run.table.first_year} to {s.to}",
        source=run.table.source,
        scenario=s.scenario,
        balance=s.balance or "CO2, CH4 and dissolved carbon",
        comment=" ".join(("Positive is to the atmosphere. Mass of carbon, never of a gas.", *run.notes)),
    )


def _forcing(run: Run, years: int) -> dict[str, xr.DataArray]:
    found = {}
    for kind, values in radiative_forcing(run).items():
        whole: Array = np.full((len(run.terrains), years), np.nan)
        whole[:, years - values.shape[1] :] = values
        found[f"forcing_{kind}"] = xr.DataArray(
            whole,
            dims=("forcing_terrain", "time"),
            coords={"forcing_terrain": list(run.terrains)},
            attrs={
                "units": "W m-2",
                "long_name": f"radiative forcing at the end of the year, {kind.upper()} exchanged since "
                f"{run.table.scenario_year}",
                "scope": run.settings.scope,
            },
        )
    return found


def to_dict(run: Run, forcing: bool = False) -> dict[str, Any]:
    """A run as plain JSON values: means and limits by span, areas, what the limits come from, and posts."""
    s = run.settings
    found: dict[str, Any] = {
        **s.model_dump(),
        "label": run.table.scenarios[s.scenario],
        "source": run.table.source,
        "units": {"area": "km2", "flux": "Tg C yr-1", "cumulative": "Pg C"},
        "positive": "up",
        "notes": list(run.notes),
        "terrains": {key: _terrain(run, key, t) for key, t in run.terrains.items()},
        "total": {
            span_name(span): {kind: _limited(run.totals[kind, span]) for kind in KINDS} for span in run.spans
        },
        "posts": [post.to_dict() for post in posts(run)],
    }
    if forcing:
        found["forcing_w_m2"] = {
            kind: {key: float(row[-1]) for key, row in zip(run.terrains, values, strict=True)}
            for kind, values in radiative_forcing(run).items()
        }
    return found


def years_told(run: Run) -> list[int]:
    """The years whose areas are told: start and end of every span."""
    return sorted({year for span in run.spans for year in span})


def feature_area(found: TerrainRun, year: int) -> float:
    """Area in km2 of all states made by abrupt thaw on 1 January of a year."""
    return sum(
        float(c.area[c.years.index(year), c.counted("features"), 0].sum()) for c in found.courses.values()
    )


def whole_area(found: TerrainRun) -> float:
    """Area in km2 of a terrain, the same in every year."""
    return sum(float(c.area[0].sum()) for c in found.courses.values())


def _terrain(run: Run, key: str, found: TerrainRun) -> dict[str, Any]:
    years = years_told(run)
    return {
        "label": run.table.terrains[key].label,
        "area_km2": whole_area(found),
        "features_km2": {str(y): feature_area(found, y) for y in years},
        "states_km2": {
            name: {
                state: {str(y): float(c.area[c.years.index(y), i, 0]) for y in years}
                for i, state in enumerate(c.states)
            }
            for name, c in found.courses.items()
        },
        "mean": {
            span_name(span): {kind: _limited(found.means[kind, span]) for kind in KINDS} for span in run.spans
        },
        "cumulative": {
            span_name(span): {
                kind: _limited(found.means[kind, span].times((span[1] - span[0]) / 1000)) for kind in KINDS
            }
            for span in run.spans
        },
        "influence": {
            span_name(span): {kind: dict(found.influence[kind, span]) for kind in KINDS} for span in run.spans
        },
    }


def span_name(span: Span) -> str:
    """First and last year, as in "2001-2010"."""
    return f"{span[0]}-{span[1]}"


def _limited(number: Limited) -> dict[str, float]:
    return number._asdict()
