"""The calibration of one community on its towers: stage after stage, then what is known of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.jax64 import keep_compiled
from talik.sources.site_table import read_sites
from talik.tem.calibration import gml, nuts
from talik.tem.calibration.forward import Fixed, predict
from talik.tem.calibration.free import FreeParameters, as_project, free_parameters, together
from talik.tem.calibration.laplace import agreement, interval_of_draws, laplace
from talik.tem.calibration.observations import Observations, read_observations
from talik.tem.calibration.posterior import Noise, Posterior, Prior
from talik.tem.calibration.settings import CalibrationSettings, Stage
from talik.tem.calibration.site_forcing import SiteFiles
from talik.tem.calibration.site_model import (
    BALANCE,
    BalanceTargets,
    SiteModel,
    balance_targets,
    modelled,
    no_targets,
    targets_of,
)
from talik.tem.calibration.tower_run import TowerRun
from talik.tem.calibration.towers import Tower, Use

Array = npt.NDArray[np.float64]
Tell = Callable[[str], None]
USES: tuple[Use, ...] = ("calibration", "left_out")
BATCH = 25
"""Draws that are predicted at once."""
LEVEL = 0.9
"""Of intervals."""
FEWEST_DRAWS = 10
"""Draws with an equilibrium below which there is no interval."""
BALANCE_STREAM = "balance"
"""Name of the targets of the equilibrium among the streams of observations."""


@dataclass(frozen=True)
class Calibrated:
    """A community: keys of a project, what each stage found (JSON), a row a month: observed, before, after, and the
    interval of `LEVEL`; draws of the posterior: draw, community, parameter, value. Interval and draws are there if the
    posterior was asked for."""

    parameters: dict[str, dict[str, float]]
    organic_soil: dict[str, dict[str, float]]
    stages: list[dict[str, Any]]
    months: pd.DataFrame
    draws: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """A stage: free parameters, residuals, and the stream of each (a variable, or `BALANCE_STREAM`)."""

    stage: Stage
    free: FreeParameters
    model: SiteModel
    streams: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of targets."""
        return len(self.streams)

    def search(self, settings: CalibrationSettings) -> gml.Search:
        """From all starts at once; the sum of squares holds that of the prior."""
        free = self.free
        starts = gml.latin_hypercube(settings.starts, free.low, free.high, settings.seed, free.start)
        return gml.search(WithPrior(self.model, free), starts, free.low, free.high, free.log, settings.search)


@dataclass(frozen=True)
class WithPrior:
    """A `differences.Model` with the normal priors of free parameters among its residuals, as (start - x) / spread."""

    model: SiteModel
    free: FreeParameters

    def residuals(self, x: Array) -> Array:
        """(start, m + priors)."""
        return np.concatenate([self.model.residuals(x), self.of_prior(x)], axis=1)

    def with_jacobian(self, x: Array) -> tuple[Array, Array]:
        """Residuals (start, m + priors) and their derivatives (start, m + priors, n)."""
        found, jacobian = self.model.with_jacobian(x)
        there = np.isfinite(self.free.spread)
        slope = np.broadcast_to(-np.diag(1.0 / self.free.spread)[there], (len(x), there.sum(), there.size))
        return np.concatenate([found, self.of_prior(x)], axis=1), np.concatenate([jacobian, slope], axis=1)

    def of_prior(self, x: Array) -> Array:
        """(start, priors)."""
        there = np.isfinite(self.free.spread)
        return ((self.free.start - x) / self.free.spread)[:, there]


@dataclass(frozen=True)
class Known:
    """Draws (draw, n) of the free parameters' coordinates, and of the scale of each stream's errors (draw,)."""

    free: FreeParameters
    draws: Array
    scales: dict[str, Array]


def calibrate(
    community: str,
    towers: Sequence[Tower],
    settings: CalibrationSettings,
    tables: Sequence[Path],
    forcing: SiteFiles,
    tell: Tell = lambda _line: None,
) -> Calibrated:
    """Calibrate one community on those of its towers that have years for it; all its towers are predicted.

    Raises:
        InputError: no tower to calibrate on, observations and forcing that do not fit, or no equilibrium.
        ConfigError: free parameters or targets that do not exist.
    """
    keep_compiled()
    mine = [t for t in towers if t.community == community]
    if not any(t.years("calibration") for t in mine):
        raise InputError(f"{community}: none of {len(mine)} towers has years to calibrate on. Give one some.")
    observed = _observed(mine, settings, tables)
    plants, soils = dict(settings.model.parameters), dict(settings.model.organic_soil)
    run = TowerRun(mine, settings, forcing, plants, soils)
    months = pd.concat([o.table.assign(use=use) for use, o in observed.items()], ignore_index=True)
    months["before"] = run.at(months)
    told: list[dict[str, Any]] = []
    known: list[Known] = []
    for number, stage in enumerate(settings.stages, 1):
        tell(f"{community}: stage {number} of {len(settings.stages)}, {stage.name}: {settings.starts} starts")
        free = free_parameters({community: stage.free}, plants, soils)
        problem = stage_problem(run, stage, free, observed["calibration"].table)
        found = problem.search(settings)
        best = found.x[found.best]
        plants, soils = as_project(free, free.values(jnp.asarray(best)), plants, soils)
        told.append(search_summary(problem, found))
        tell(f"{community}: {stage.name}: {told[-1]['told']}")
        run = TowerRun(mine, settings, forcing, plants, soils)
        if settings.method != "gml":
            said, of_stage = posterior(
                stage_problem(run, stage, free, observed["calibration"].table), best, settings, tell
            )
            told[-1] |= said
            known.append(of_stage)
    months["after"] = run.at(months)
    notes = [note for o in observed.values() for note in o.notes]
    if known:
        months["low"], months["high"], lost = predictive_interval(run, known, months, settings.seed)
        if lost:
            notes.append(f"{community}: {lost} draws of the posterior find no equilibrium and are left out")
    return Calibrated(plants, soils, told, months, _draws_table(known), tuple(dict.fromkeys(notes)))


def _observed(
    towers: Sequence[Tower], settings: CalibrationSettings, tables: Sequence[Path]
) -> dict[Use, Observations]:
    read = [read_sites(path) for path in tables]
    return {
        use: read_observations(read, towers, use, settings.observations)
        for use in USES
        if any(t.years(use) for t in towers)
    }


def stage_problem(run: TowerRun, stage: Stage, free: FreeParameters, table: pd.DataFrame) -> Problem:
    """A stage on towers. table : `Observations.table` of the years that are fitted; the equilibrium has targets at the
    towers that it holds."""
    rows = table[table["variable"].isin(stage.variables)]
    targets = targets_of(rows, run.sites, run.place) if stage.variables else no_targets()
    communities = tuple(dict.fromkeys(t.community for t in run.towers))
    equilibrium = balance_targets(run.sites.columns, communities, list(stage.balance), 1.0)
    used = np.isin(equilibrium.column, [run.place[site] for site in table["site_id"].unique()])
    value, which = equilibrium.value[used], equilibrium.which[used]
    shares = np.array([stage.balance[BALANCE[w]] for w in which])
    wanted = BalanceTargets(value, shares * value, which, equilibrium.column[used])
    streams = (*rows["variable"], *([BALANCE_STREAM] * value.size))
    return Problem(stage, free, SiteModel(run.sites, free, targets, wanted), streams)


def search_summary(problem: Problem, found: gml.Search) -> dict[str, Any]:
    """What a search found, for JSON."""
    free, best = problem.free, found.best

    def named(values: npt.ArrayLike) -> dict[str, Any]:
        return dict(zip(free.names, np.asarray(values).tolist(), strict=True))

    first = float(found.history[0][0])
    of_prior = float((WithPrior(problem.model, free).of_prior(found.x[best][None]) ** 2).sum())
    return {
        "name": problem.stage.name,
        "told": f"sum of squares {first:.4g} to {found.phi[best] - of_prior:.4g} of {problem.size} targets"
        + (f", and {of_prior:.3g} of the prior" if np.isfinite(free.spread).any() else ""),
        "targets": problem.size,
        "scale": named(np.where(free.log, "log", "linear")),
        "start": named(free.values(jnp.asarray(free.start))),
        "found": named(free.values(jnp.asarray(found.x[best]))),
        "at_limit": named(found.at_limit[best]),
        "starts": [
            {
                "found": named(free.values(jnp.asarray(x))),
                "sum_of_squares": None if np.isnan(phi) else float(phi),
                "runs": float(runs),
                "iterations": int(iterations),
                "stopped": stopped,
                "reason": reason,
            }
            for x, phi, runs, iterations, stopped, reason in zip(
                found.x, found.phi, found.runs, found.iterations, found.stopped, found.reason, strict=True
            )
        ],
    }


def posterior(
    problem: Problem, x: Array, settings: CalibrationSettings, tell: Tell = lambda _line: None
) -> tuple[dict[str, Any], Known]:
    """The posterior around the best point x (n,), for JSON, and its draws.

    The scale of the errors of each stream is unknown: what the model cannot fit widens it. Targets of the equilibrium
    keep the scale that they are given.
    """
    free = problem.free
    prior = Prior(free.names, free.low, free.high, free.start, free.spread)
    streams = tuple(dict.fromkeys(problem.streams))
    stream = np.array([streams.index(name) for name in problem.streams], dtype=np.int64)
    unknown = tuple(name for name in streams if name != BALANCE_STREAM)
    noise = Noise(streams, stream, np.ones(len(streams)), unknown)
    as_in_search = np.repeat(x[None], settings.starts, axis=0)  # a shape that is compiled already
    residuals, jacobian = (a[0] for a in problem.model.with_jacobian(as_in_search))
    approximate = laplace(prior, noise, x, residuals, jacobian)
    exact = Posterior(partial(problem.model.traced, problem.model.sites.fixed), prior, noise)
    draws = approximate.draws(settings.draws, settings.seed)
    of_draws = in_batches(jax.jit(exact.log_density), draws)
    told: dict[str, Any] = {
        "laplace": {**approximate.to_dict(), "agreement": agreement(approximate, draws, of_draws)}
    }
    if settings.method == "nuts" and problem.stage.sampled:
        how = settings.sampler
        tell(f"{problem.stage.name}: {how.chains} chains of {how.warmup} + {how.draws} draws")
        chains = nuts.sample(exact, approximate, how, tell)
        told["nuts"] = chains.to_dict()
        all_draws = chains.together
        chosen = np.linspace(0, len(all_draws) - 1, min(settings.draws, len(all_draws))).astype(int)
        draws = all_draws[chosen]
    size = len(free.names)
    return told, Known(free, draws[:, :size], dict(zip(unknown, np.exp(draws[:, size:]).T, strict=True)))


def predictive_interval(
    run: TowerRun, known: Sequence[Known], table: pd.DataFrame, seed: int
) -> tuple[Array, Array, int]:
    """Lower and upper end of `LEVEL` of predictions for rows of observations (row,), errors of observation included;
    and how many draws have no equilibrium.

    Draws of one number of all stages belong together: a stage's posterior is that around the best values of the others.
    InputError: fewer than `FEWEST_DRAWS` draws have an equilibrium.
    """
    free = together([k.free for k in known])
    by_name = {name: k.draws[:, i] for k in known for i, name in enumerate(k.free.names)}
    draws = np.stack([by_name[name] for name in free.names], axis=1)
    targets = targets_of(table, run.sites, run.place)

    def many(fixed: Fixed, x: jax.Array) -> jax.Array:
        predicted = predict(run.sites, free, fixed, x)
        return jnp.where(predicted.balanced.all(axis=1)[:, None], modelled(predicted, targets), jnp.nan)

    values = in_batches(partial(jax.jit(many), run.sites.fixed), draws)
    good = np.isfinite(values).all(axis=1)
    if good.sum() < FEWEST_DRAWS:
        raise InputError(
            f"calibration: {good.sum()} of {good.size} draws of the posterior find an equilibrium; at least "
            f"{FEWEST_DRAWS} make an interval. Narrow the limits of the parameters, or take method: gml."
        )
    scales = {name: scale for k in known for name, scale in k.scales.items()}
    ones = np.ones(good.size)
    scale = np.stack([scales.get(name, ones) for name in table["variable"]], axis=1)
    noise = scale * table["sigma"].to_numpy(dtype=np.float64)
    found = interval_of_draws(values[good], LEVEL, noise[good], seed)
    return found.low, found.high, int((~good).sum())


def in_batches(many: Callable[[jax.Array], jax.Array], draws: Array) -> Array:
    """A function of draws (draw, n), `BATCH` at a time."""
    count = len(draws)
    padded = np.resize(draws, (-(-count // BATCH) * BATCH, draws.shape[1]))
    parts = [np.asarray(many(jnp.asarray(padded[i : i + BATCH]))) for i in range(0, len(padded), BATCH)]
    return np.concatenate(parts)[:count]


def _draws_table(known: Sequence[Known]) -> pd.DataFrame:
    parts = []
    for k in known:
        values = np.asarray(k.free.values(jnp.asarray(k.draws)))
        for i, name in enumerate(k.free.names):
            community, parameter = name.split(".")
            parts.append(
                pd.DataFrame(
                    {
                        "draw": np.arange(len(values)),
                        "community": community,
                        "parameter": parameter,
                        "value": values[:, i],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
