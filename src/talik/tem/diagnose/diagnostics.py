"""Everything that is computed from a factorial run at once, small enough to hold, and the questions asked of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import xarray as xr

from talik.errors import InputError
from talik.tem.diagnose.effects import (
    DIMENSION,
    Design,
    attribution,
    effect,
    effects,
    interaction,
    missing_pairs,
)
from talik.tem.diagnose.region import (
    STOCKS,
    FactorialRun,
    by_depth,
    coverage_of,
    permafrost,
    regional_sums,
    weights,
)

POOLS = {
    "cSoil": ("cSoilActive", "cSoilPermafrost"),
    "ecoC": ("cVeg", "cSoilActive", "cSoilPermafrost"),
}
"""Sums of pools that are computed where all parts are in the files."""
PUBLISHED_YEAR = 2100
"""The last year of the published experiments."""
MOST_NAMED = 4
"""Pairs of factors without a run that are named in the notes: designs of one change at a time have many."""
EffectRow: TypeAlias = dict[str, str | float | int | None]


@dataclass(frozen=True)
class Diagnostics:
    """Regional series of a factorial run.

    series : (stock, scenario, experiment, year) sums; history : (stock, scenario, year) the years before.
    frozen : (scenario, experiment, year) permafrost area and active layer; frozen_history : the years before.
    depth : (scenario, experiment, decade, depth_interval) thawed and decomposed carbon.
    A variable that is not in the files is not in these. coverage : a row a scenario; missing : what is not there.
    """

    design: Design
    reference_year: int
    series: xr.Dataset
    history: xr.Dataset
    frozen: xr.Dataset
    frozen_history: xr.Dataset
    depth: xr.Dataset
    coverage: tuple[dict[str, float | int | str], ...]
    missing: tuple[str, ...]

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios."""
        return tuple(str(v) for v in self.series["scenario"].values)

    @property
    def last_year(self) -> int:
        """The last year of the experiments."""
        return int(self.series["year"].values[-1])

    def values(self, name: str, scenario: str, stock: str = STOCKS[0]) -> xr.DataArray:
        """(experiment, year) of a sum or a permafrost variable. InputError: it could not be computed."""
        for ds in (self.series, self.frozen):
            if name in ds:
                chosen = ds[name].sel(scenario=scenario, drop=True)
                return chosen.sel(stock=stock, drop=True) if "stock" in chosen.dims else chosen
        raise InputError(f"needs {', '.join(POOLS.get(name, (name,)))}")

    def reference(self, name: str, scenario: str, stock: str = STOCKS[0]) -> xr.DataArray:
        """(year,) of the reference run, with the history before it where there is one."""
        now = self.values(name, scenario, stock).sel({DIMENSION: self.design.reference}, drop=True)
        for ds in (self.history, self.frozen_history):
            if name in ds:
                where = {"scenario": scenario, "stock": stock}
                before = ds[name].sel({k: v for k, v in where.items() if k in ds[name].dims}, drop=True)
                earlier = before.sel(year=before["year"] < now["year"][0])
                joined: xr.DataArray = xr.concat([earlier, now], dim="year")
                return joined
        return now

    def accumulated(self, name: str, scenario: str, stock: str = STOCKS[0]) -> xr.DataArray:
        """(experiment, year) of a pool or other state; of a flux the sum from the reference year to each year."""
        values = self.values(name, scenario, stock)
        if not str(values.attrs.get("units", "")).endswith(" yr-1"):
            return values
        since = values.sel(year=slice(self.reference_year, None))
        return (
            since.cumsum("year")
            .assign_coords(year=since["year"])
            .assign_attrs({**values.attrs, "units": values.attrs["units"].removesuffix(" yr-1")})
        )

    def gain(self, name: str, scenario: str) -> float:
        """Change of the reference run from the start of the reference year to the end of the last year.

        A flux is summed over these years. The start of a pool is the end of the year before; without a history it is
        the end of the reference year, so that year's own change is left out. What is frozen does not change before.
        """
        values = self.values(name, scenario)
        if name in POOLS and all(part in self.series for part in POOLS[name]):
            return sum(self.gain(part, scenario) for part in POOLS[name])
        if str(values.attrs.get("units", "")).endswith(" yr-1"):
            total = self.accumulated(name, scenario).sel({DIMENSION: self.design.reference})
            return float(total.sel(year=self.last_year))
        whole = self.reference(name, scenario)
        before = self.reference_year - 1
        start = before if before in whole["year"].values else self.reference_year
        return float(whole.sel(year=self.last_year) - whole.sel(year=start))

    def departure(self, name: str, scenario: str) -> float:
        """What the factors can have changed in the reference run: `gain`; of a flux less the reference year's rate.

        It stands in for reference less a run with everything fixed, where that was not run.
        """
        values = self.values(name, scenario)
        if not str(values.attrs.get("units", "")).endswith(" yr-1"):
            return self.gain(name, scenario)
        yearly = values.sel({DIMENSION: self.design.reference, "year": slice(self.reference_year, None)})
        return float((yearly - yearly.sel(year=self.reference_year)).sum())

    def effect_of(self, run: str, name: str, scenario: str) -> xr.DataArray:
        """(year,) effect of what `run` holds fixed on a state, or on a flux summed since the reference year."""
        if run not in self.design.fixed:
            raise InputError(f"needs the run {run}")
        return effect(self.accumulated(name, scenario), self.design, self.design.fixed[run])

    def effect_rows(self, names: Iterable[str]) -> list[EffectRow]:
        """Effects, interactions and attribution at the end of the last year, a row a variable, scenario and set.

        kind : ``effect``, ``interaction`` (pairs), ``contribution`` (attribution, with share and rank) or
        ``unexplained``. A variable that is not there has no rows.
        """
        rows: list[EffectRow] = []
        for name in names:
            for scenario in self.scenarios:
                try:
                    values = self.accumulated(name, scenario).sel(year=self.last_year)
                except InputError:
                    continue
                told: EffectRow = {
                    "variable": name,
                    "scenario": scenario,
                    "year": self.last_year,
                    "units": str(values.attrs.get("units", "")),
                }
                rows += [{**told, **row} for row in self._rows_of(values, self.departure(name, scenario))]
        return rows

    def _rows_of(self, values: xr.DataArray, change: float) -> list[EffectRow]:
        found = effects(values, self.design)
        rows = [_row("effect", str(f), float(found.sel(factors=f))) for f in found["factors"].values]
        for held in self.design.sets:
            if len(held) == 2 and all(self.design.has([f]) for f in held):
                value = float(interaction(values, self.design, *held))
                rows.append(_row("interaction", self.design.label(held), value))
        if not all(self.design.has([f]) for f in self.design.factors):
            return rows
        told = attribution(values, self.design, None if self.design.complete else xr.DataArray(change))
        for factor in self.design.factors:
            part = told.sel(factor=factor)
            row = _row("contribution", factor, float(part["contribution"]))
            share = float(part["share"])
            row["share"] = share if np.isfinite(share) else None
            row["rank"] = None if np.isnan(part["rank"]) else int(part["rank"])
            rows.append(row)
        rows.append(_row("unexplained", "", float(told["unexplained"])))
        return rows

    def notes(self) -> list[str]:
        """What a reader of the numbers has to know: what is missing, what has no full coverage."""
        notes = []
        if self.missing:
            notes.append(f"not in the files, so not diagnosed: {', '.join(self.missing)}")
        if not self.history and not self.frozen_history:
            notes.append(
                "no history: changes start at the end of the reference year, and means before it are of it"
            )
        for name, values in self.series.items():
            if (share := float(values.attrs.get("coverage", 1.0))) < 1.0 - 1e-9:
                notes.append(
                    f"{name}: only {100 * share:.2f} % of the region's area has values; the rest counts as zero"
                )
        if self.last_year != PUBLISHED_YEAR:
            notes.append(f"the last year is {self.last_year}; the published numbers are for {PUBLISHED_YEAR}")
        if pairs := missing_pairs(self.design):
            shown = ", ".join(pairs[:MOST_NAMED]) + (", ..." if len(pairs) > MOST_NAMED else "")
            notes.append(
                f"no run for {len(pairs)} pair{'s' * (len(pairs) > 1)} of factors ({shown}): interactions unknown, "
                "attribution is an estimate"
            )
        return notes


def diagnose(run: FactorialRun) -> Diagnostics:
    """All regional diagnostics of an open factorial run; reads its files once, a variable at a time."""
    area = weights(run)
    nothing = xr.Dataset()
    reference = run.reference_fraction().sum("cell")
    if not bool((reference > 0.0).all()):
        raise InputError(
            f"no cell has permafrost in {run.reference_year} in some scenario; there is no permafrost region to "
            "diagnose. Check permafrostFraction."
        )
    return Diagnostics(
        design=run.design,
        reference_year=run.reference_year,
        series=_with_pools(regional_sums(run.experiments, area)).assign_coords(
            scenario=run.experiments["scenario"], year=run.experiments["year"]
        ),
        history=nothing if run.history is None else _with_pools(regional_sums(run.history, area)),
        frozen=permafrost(run.experiments, run),
        frozen_history=nothing if run.history is None else permafrost(run.history, run),
        depth=by_depth(run),
        coverage=tuple(coverage_of(run)),
        missing=run.missing,
    )


def _with_pools(sums: xr.Dataset) -> xr.Dataset:
    for name, parts in POOLS.items():
        if all(part in sums for part in parts):
            total = sum((sums[part] for part in parts[1:]), start=sums[parts[0]])
            sums[name] = total.assign_attrs(sums[parts[0]].attrs)
    return sums


def _row(kind: str, factors: str, value: float) -> EffectRow:
    shown = value if np.isfinite(value) else None
    return {"kind": kind, "factors": factors, "value": shown, "share": None, "rank": None}
