"""The towers of the calibration as models of residuals, with compiled functions of one batch size."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from talik.jax64 import keep_compiled
from talik.sources.site_table import read_sites
from talik.tem.calibration.free import FreeParameters, free_parameters
from talik.tem.calibration.observations import read_observations
from talik.tem.calibration.settings import PLANTS, CalibrationSettings
from talik.tem.calibration.site_forcing import write_site_forcing
from talik.tem.calibration.site_model import (
    BALANCE,
    BalanceTargets,
    SiteModel,
    Targets,
    balance_targets,
    targets_of,
)
from talik.tem.calibration.tower_run import TowerRun
from talik.tem.calibration.towers import PUBLISHED_TOWERS, Tower
from talik.tem.settings import TemSettings
from talik.tem.thermal.grid import SOIL_THICKNESS_M

Array = npt.NDArray[np.float64]

TOWERS = {"boreal_forest": "US-Prr", "wet_tundra": "US-Atq", "alpine_tundra_polar_desert": "GL-ZaH"}
"""The tower on which each community is calibrated."""
YEARS = (2001, 2016)
SHARE = 0.5
"""Error of the pools of the equilibrium, of their values, as in the stage `plants`."""
BATCH = 20
"""Points that are run at once. Other numbers are cut into such batches, so that nothing is compiled twice."""


@dataclass(frozen=True)
class Case:
    """A tower with its observations: what a search minimises.

    value, sigma : (m,) of the targets, in their units; which : (m,) their places among `everything`. Towers of all
    communities so share what is compiled.
    """

    tower: Tower
    wanted: TemSettings
    everything: SiteModel
    value: Array
    sigma: Array
    which: npt.NDArray[np.int64]

    @property
    def free(self) -> FreeParameters:
        """The five parameters of the stage `plants`."""
        return self.everything.free

    @property
    def names(self) -> list[str]:
        """Of the five, without the community."""
        return [name.split(".")[1] for name in self.free.names]

    def residuals(self, x: Array) -> Array:
        """(point, m)."""
        found = [self.everything.residuals(part)[:kept] for part, kept in _batches(x)]
        return (self.value + np.concatenate(found)[:, self.which]) / self.sigma

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Residuals (point, m) and derivatives (point, m, n)."""
        parts = [(self.everything.with_jacobian(part), kept) for part, kept in _batches(x)]
        found, slopes = (np.concatenate([pair[i][:kept] for pair, kept in parts]) for i in (0, 1))
        residuals = (self.value + found[:, self.which]) / self.sigma
        return residuals, slopes[:, self.which] / self.sigma[:, None]

    @cached_property
    def seconds(self) -> tuple[float, float]:
        """Of a batch of runs and of a batch of Jacobians, compiled before; the shortest of three."""
        x = np.repeat(self.free.start[None], BATCH, axis=0)
        return shortest(lambda: self.residuals(x)), shortest(lambda: self.with_jacobian(x))

    @cached_property
    def tangent_cost(self) -> float:
        """Runs that one column of an exact Jacobian costs, measured."""
        run, jacobian = self.seconds
        return max(jacobian / run - 1.0, 0.0) / self.free.start.size


def _batches(x: Array) -> list[tuple[Array, int]]:
    """Parts of `BATCH` points, and how many of each are no fillers."""
    parts = [x[i : i + BATCH] for i in range(0, len(x), BATCH)]
    return [(np.concatenate([p, np.repeat(p[:1], BATCH - len(p), axis=0)]), len(p)) for p in parts]


def shortest(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of a function that has been called before, the shortest of some."""
    work()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)


@cache
def case_of(community: str) -> Case:
    """The tower of a community with its real forcing, the months of its calibration years, and pools of the
    equilibrium; needs TALIK_SHARED."""
    keep_compiled()
    data = Path(os.environ["TALIK_SHARED"]) / "data"
    tower = next(t for t in PUBLISHED_TOWERS if t.site == TOWERS[community])
    cardamom, abcflux = (
        data / f / "site_months.parquet" for f in ("fluxnet2015-cardamom", "abcflux-v2-apr2024")
    )
    soil = data / "hwsd-topsoil-05deg" / "hwsd_topsoil_40-90N_0.5deg.nc"
    settings = CalibrationSettings.model_validate(
        {"data": {"drivers": str(cardamom), "years": YEARS, "tables": (str(cardamom), str(abcflux))}}
    )
    observed = read_observations(
        [read_sites(cardamom), read_sites(abcflux)], [tower], "calibration", settings.observations
    )
    with tempfile.TemporaryDirectory() as folder:
        files = write_site_forcing(Path(folder), [tower], cardamom, air=abcflux, soil=soil, years=YEARS)
        run = TowerRun([tower], settings, files, {}, {})
    sites, wanted = run.sites, run.wanted
    free = free_parameters({community: PLANTS.free}, wanted.parameters, wanted.organic_soil)
    months = observed.table[observed.table["variable"].isin(PLANTS.variables)]
    targets = targets_of(months, sites, run.place)
    pools = balance_targets(sites.columns, [community], list(PLANTS.balance), SHARE)
    month = (targets.variable * len(sites.years) + targets.year) * 12 + targets.month
    return Case(
        tower,
        wanted,
        SiteModel(sites, free, *_everything(len(sites.years))),
        np.concatenate([targets.value, pools.value]),
        np.concatenate([targets.sigma, pools.sigma]),
        np.concatenate([month, len(PLANTS.variables) * len(sites.years) * 12 + pools.which]),
    )


def _everything(years: int) -> tuple[Targets, BalanceTargets]:
    """Every month of GPP, Reco and NEE and every pool of one column, observed as 0 with an error of 1."""
    variable, year, month = (a.ravel() for a in np.indices((len(PLANTS.variables), years, 12)))
    none, one = np.zeros(variable.size), np.ones(variable.size)
    at = np.zeros(variable.size, dtype=np.int64)
    depth = np.zeros((variable.size, SOIL_THICKNESS_M.size))
    pools = len(BALANCE)
    balance = BalanceTargets(
        np.zeros(pools), np.ones(pools), np.arange(pools), np.zeros(pools, dtype=np.int64)
    )
    return Targets(none, one, variable, year, month, at, depth), balance


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers with three digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def values_of(case: Case, x: Array) -> Array:
    """Values of the five parameters at coordinates."""
    return np.asarray(case.free.values(jnp.asarray(x)))
