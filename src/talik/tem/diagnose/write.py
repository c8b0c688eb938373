"""The files that a diagnosis leaves: numbers as JSON and CSV, regional series as NetCDF, figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from talik.files import whole_file, write_json, write_text
from talik.report.style import write_figures
from talik.tem.diagnose.diagnostics import Diagnostics, diagnose
from talik.tem.diagnose.effects import DIMENSION
from talik.tem.diagnose.figures import depth_bars, effect_bars, map_fields, maps, time_series
from talik.tem.diagnose.findings import statements
from talik.tem.diagnose.observed import Observed, compare
from talik.tem.diagnose.observed_figures import difference_map, scatter
from talik.tem.diagnose.published import table, table_csv
from talik.tem.diagnose.region import open_run

EFFECT_VARIABLES = (
    *("npp", "rh", "rhPermafrost", "nep", "ecoC", "cSoil"),
    *("cVeg", "cSoilActive", "cSoilPermafrost", "thawedCarbon", "nVeg", "area", "alt"),
)
"""Variables whose effects are written."""


def write_diagnostics(source: Path, out: Path, observed: Path | None = None) -> dict[str, Any]:
    """Diagnose the factorial run in folder `source` into folder `out`; returns what diagnostics.json holds.

    Writes diagnostics.json, table.csv (published beside this run), findings.csv, effects.csv, stocks.csv (observed and
    fallback soil carbon apart), series.nc and figures/; with a folder of observations also the comparison with them,
    observed.json. `written` of the result lists the files.
    """
    source, out = Path(source), Path(out)
    with open_run(source) as run:
        d = diagnose(run)
        fields = map_fields(run, d.last_year)
        compared = None if observed is None else compare(run, observed)
    seen = None if compared is None else compared.told()
    rows, findings, effects, stocks = table(d), statements(d), d.effect_rows(EFFECT_VARIABLES), by_stock(d)
    written = [
        write_text(out / "table.csv", table_csv(rows)),
        write_text(out / "findings.csv", table_csv([dict(row) for row in findings])),
        write_text(out / "effects.csv", table_csv([dict(row) for row in effects])),
        write_text(out / "stocks.csv", table_csv(stocks)),
        _series(d, out / "series.nc"),
    ]
    written += write_figures(_figures(d, fields, compared), out / "figures")
    told: dict[str, Any] = {
        "reference": d.design.reference,
        "reference_year": d.reference_year,
        "last_year": d.last_year,
        "factors": list(d.design.factors),
        "complete_design": d.design.complete,
        "coverage": list(d.coverage),
        "stocks": stocks,
        "table": rows,
        "findings": findings,
        "effects": effects,
        "observed": seen,
        "notes": d.notes(),
    }
    texts = {"diagnostics.json": told} if seen is None else {"diagnostics.json": told, "observed.json": seen}
    first = [write_json(out / name, content) for name, content in texts.items()]
    return {**told, "written": [str(path) for path in first + written]}


def by_stock(d: Diagnostics) -> list[dict[str, Any]]:
    """Carbon of the reference run at the end, Pg C, for cells with observed and with fallback soil carbon."""
    out = []
    for stock in d.series["stock"].values if "stock" in d.series.dims else ():
        for scenario in d.scenarios:
            row: dict[str, Any] = {"stock": str(stock), "scenario": scenario}
            for name in ("thawedCarbon", "rhPermafrost", "cSoilActive", "cSoilPermafrost"):
                if name in d.series:
                    values = d.accumulated(name, scenario, str(stock)).sel({DIMENSION: d.design.reference})
                    value = float(values.sel(year=d.last_year))
                    row[name] = value if math.isfinite(value) else None
            out.append(row)
    return out


def _figures(
    d: Diagnostics, fields: xr.Dataset, compared: Observed | None
) -> Iterator[tuple[str, Figure | None]]:
    """One figure at a time, so that none waits in memory."""
    yield "series", time_series(d)
    yield "depth", depth_bars(d)
    yield "effects", effect_bars(d)
    for scenario in d.scenarios:
        yield f"maps-{scenario}", maps(fields, scenario)
    if compared is not None:
        yield "observed-scatter", scatter(compared)
        yield "observed-map", difference_map(compared)


def _series(d: Diagnostics, path: Path) -> Path:
    """All regional series in one file; the years before the experiments are variables with _history in their name."""
    past = {f"{name}_history": values for ds in (d.history, d.frozen_history) for name, values in ds.items()}
    past = {name: values.rename(year="history_year") for name, values in past.items()}
    ds = xr.merge([d.series, d.frozen, d.depth, xr.Dataset(past)], compat="no_conflicts", join="outer")
    ds.attrs = {
        "Conventions": "CF-1.12",
        "title": "Regional sums and means of a factorial run over its permafrost region",
        "reference": d.design.reference,
        "reference_year": d.reference_year,
        "factors": json.dumps({run: sorted(held) for run, held in d.design.fixed.items()}),
    }
    with whole_file(path) as part:
        ds.to_netcdf(part, engine="netcdf4", format="NETCDF4")
    return path
