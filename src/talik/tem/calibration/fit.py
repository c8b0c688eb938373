"""The calibration of one community on its towers: stage after stage, then what is known of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.sources.site_table import read_sites
from talik.tem.calibration import gml, nuts
from talik.tem.calibration.forward import Fixed, Sites, predict, prepare
from talik.tem.calibration.free import FreeParameters, as_project, free_parameters
from talik.tem.calibration.laplace import Laplace, interval_of_draws, laplace
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
from talik.tem.calibration.towers import Tower, Use
from talik.tem.inputs import read_columns, read_run
from talik.tem.run import keep_compiled
from talik.tem.settings import Files, TemSettings

Array = npt.NDArray[np.float64]
Tell = Callable[[str], None]
USES: tuple[Use, ...] = ("calibration", "left_out")
BATCH = 25
"""Draws that are predicted at once."""
LEVEL = 0.9
"""Of intervals."""
_NOTHING = FreeParameters((), np.zeros(0, bool), np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Calibrated:
    """A community: keys of a project, what each stage found (JSON), and a row a month: observed, before, after, and the
    interval of `LEVEL` if the posterior was asked for."""

    parameters: dict[str, dict[str, float]]
    organic_soil: dict[str, dict[str, float]]
    stages: list[dict[str, Any]]
    months: pd.DataFrame
    notes: tuple[str, ...]


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
        InputError: no tower to calibrate on, or observations and forcing that do not fit.
        ConfigError: free parameters or targets that do not exist.
    """
    keep_compiled()
    mine = [t for t in towers if t.community == community]
    if not any(t.years("calibration") for t in mine):
        raise InputError(f"{community}: none of {len(mine)} towers has years to calibrate on. Give one some.")
    observed = _observed(mine, settings, tables)
    place = {tower.site: i for i, tower in enumerate(mine)}
    plants, soils = dict(settings.model.parameters), dict(settings.model.organic_soil)
    before = _Towers(mine, settings, forcing, plants, soils)
    months = pd.concat([o.table.assign(use=use) for use, o in observed.items()], ignore_index=True)
    months["before"] = before.at(months, place)
    told, last = [], None
    for number, stage in enumerate(settings.stages, 1):
        run = _Towers(mine, settings, forcing, plants, soils)
        last = _Stage(run, stage, community, observed["calibration"].table, place, settings)
        found = last.search(settings)
        values = np.asarray(last.free.values(jnp.asarray(found.x[found.best])))
        plants, soils = as_project(last.free, values, plants, soils)
        told.append(last.summary(found, values))
        tell(f"{community}: stage {number} of {len(settings.stages)}, {stage.name}: {told[-1]['told']}")
        if settings.method != "gml":
            told[-1] |= last.posterior(found.x[found.best], settings)
    after = _Towers(mine, settings, forcing, plants, soils)
    months["after"] = after.at(months, place)
    if settings.method != "gml" and last is not None and last.draws is not None:
        months["low"], months["high"] = last.interval(months, place, settings.seed)
    notes = tuple(dict.fromkeys(note for o in observed.values() for note in o.notes))
    return Calibrated(plants, soils, told, months, notes)


def _observed(
    towers: Sequence[Tower], settings: CalibrationSettings, tables: Sequence[Path]
) -> dict[Use, Observations]:
    read = [read_sites(path) for path in tables]
    return {
        use: read_observations(read, towers, use, settings.observations)
        for use in USES
        if any(t.years(use) for t in towers)
    }


class _Towers:
    """The towers of a community under some parameters."""

    def __init__(
        self,
        towers: Sequence[Tower],
        settings: CalibrationSettings,
        forcing: SiteFiles,
        plants: Mapping[str, Mapping[str, float]],
        soils: Mapping[str, Mapping[str, float]],
    ) -> None:
        model, years = settings.model, settings.data.years
        section = {
            "climate": {"files": [str(forcing.climate)]},
            "co2": {"files": [str(forcing.co2)]},
            "land": {"files": [str(forcing.land)]},
            "cells": [(t.lat, t.lon) for t in towers],
            "equilibrium": model.equilibrium.model_copy(
                update={"climate": model.equilibrium.climate or years}
            ),
            "spin_up": model.spin_up.model_copy(update={"climate": model.spin_up.climate or years}),
            "soil_heat": model.soil_heat,
            "substeps": model.substeps,
            "parameters": plants,
            "organic_soil": soils,
        }
        self.wanted = TemSettings.model_validate(section)
        files = Files(
            climate=(str(forcing.climate),),
            co2=(str(forcing.co2),),
            land=(str(forcing.land),),
            restart=None,
            period=years,
            scenarios={},
        )
        columns = read_columns(self.wanted, files.paths("land"))
        self.sites: Sites = prepare(columns, read_run(self.wanted, files, columns), self.wanted)

    def at(self, table: pd.DataFrame, place: Mapping[str, int]) -> Array:
        """What the model gives for rows of observations, (row,)."""
        targets = targets_of(table, self.sites, place)
        found = jax.jit(lambda fixed, x: modelled(predict(self.sites, _NOTHING, fixed, x), targets))
        return np.asarray(found(self.sites.fixed, jnp.zeros(0)))


class _Stage:
    """A stage: its model of residuals, its search, its posterior."""

    def __init__(
        self,
        towers: _Towers,
        stage: Stage,
        community: str,
        table: pd.DataFrame,
        place: Mapping[str, int],
        settings: CalibrationSettings,
    ) -> None:
        wanted = towers.wanted
        self.stage, self.sites = stage, towers.sites
        self.free = free_parameters({community: stage.free}, wanted.parameters, wanted.organic_soil)
        self.rows = table[table["variable"].isin(stage.variables)]
        targets = targets_of(self.rows, self.sites, place) if stage.variables else no_targets()
        equilibrium = balance_targets(self.sites.columns, [community], list(stage.balance), 1.0)
        used = np.isin(equilibrium.column, [place[site] for site in table["site_id"].unique()])
        value, which = equilibrium.value[used], equilibrium.which[used]
        shares = np.array([stage.balance[BALANCE[w]] for w in which])
        self.balance = BalanceTargets(value, shares * value, which, equilibrium.column[used])
        self.model = SiteModel(self.sites, self.free, targets, self.balance)
        self.draws: Array | None = None
        self.scales: dict[str, Array] = {}

    def search(self, settings: CalibrationSettings) -> gml.Search:
        """From all starts at once."""
        free = self.free
        starts = gml.latin_hypercube(settings.starts, free.low, free.high, settings.seed, free.start)
        return gml.search(self.model, starts, free.low, free.high, free.log, settings.search)

    def summary(self, found: gml.Search, values: Array) -> dict[str, Any]:
        """What the search found, for JSON."""
        best, start = found.best, found.history[0][0] if found.history[0].size else np.nan
        return {
            "name": self.stage.name,
            "told": f"sum of squares {start:.4g} to {found.phi[best]:.4g} of {self.size} targets",
            "targets": self.size,
            "start": dict(
                zip(
                    self.free.names,
                    np.asarray(self.free.values(jnp.asarray(self.free.start))).tolist(),
                    strict=True,
                )
            ),
            "found": dict(zip(self.free.names, values.tolist(), strict=True)),
            "at_limit": dict(zip(self.free.names, found.at_limit[best].tolist(), strict=True)),
            "sum_of_squares": [None if np.isnan(v) else float(v) for v in found.phi],
            "runs": found.runs.tolist(),
            "stopped": list(found.stopped),
            "reason": list(found.reason),
        }

    @property
    def size(self) -> int:
        """Number of targets."""
        return len(self.rows) + int(self.balance.value.size)

    def posterior(self, x: Array, settings: CalibrationSettings) -> dict[str, Any]:
        """The posterior around the best point x (n,), for JSON; its draws (draw, n) are kept for `interval`.

        The scale of the errors of each stream is unknown: what the model cannot fit widens it.
        """
        prior = Prior.uniform(self.free.names, self.free.low, self.free.high)
        names = [*self.rows["variable"], *(["balance"] * self.balance.value.size)]
        streams = tuple(dict.fromkeys(names))
        stream = np.array([streams.index(name) for name in names], dtype=np.int64)
        unknown = tuple(name for name in streams if name != "balance")
        noise = Noise(streams, stream, np.ones(len(streams)), unknown)
        residuals, jacobian = (a[0] for a in self.model.with_jacobian(x[None]))
        approximate: Laplace = laplace(prior, noise, x, residuals, jacobian)
        told: dict[str, Any] = {"laplace": approximate.to_dict()}
        draws = approximate.draws(settings.draws, settings.seed)
        if settings.method == "nuts":
            fixed = self.sites.fixed

            def residual(at: jax.Array) -> jax.Array:
                found, balanced = jax.vmap(lambda one: self.model.one(fixed, one))(at)
                return jnp.where(balanced[:, None], found, jnp.inf)

            chains = nuts.sample(
                Posterior(residual, prior, noise), approximate, nuts.Settings(seed=settings.seed)
            )
            told["nuts"] = chains.to_dict()
            together = chains.together
            chosen = np.linspace(0, len(together) - 1, min(settings.draws, len(together))).astype(int)
            draws = together[chosen]
        size = len(self.free.names)
        self.draws = draws[:, :size]
        self.scales = dict(zip(unknown, np.exp(draws[:, size:]).T, strict=True))
        return told

    def interval(self, table: pd.DataFrame, place: Mapping[str, int], seed: int) -> tuple[Array, Array]:
        """Lower and upper end of `LEVEL` of predictions for rows of observations, errors of observation included."""
        targets = targets_of(table, self.sites, place)

        def one(fixed: Fixed, x: jax.Array) -> jax.Array:
            return modelled(predict(self.sites, self.free, fixed, x), targets)

        many = jax.jit(jax.vmap(one, in_axes=(None, 0)))
        if self.draws is None:
            raise RuntimeError("posterior comes first")
        size = -(-len(self.draws) // BATCH) * BATCH
        padded = np.resize(self.draws, (size, self.draws.shape[1]))
        parts = [
            np.asarray(many(self.sites.fixed, jnp.asarray(padded[i : i + BATCH])))
            for i in range(0, size, BATCH)
        ]
        values = np.concatenate(parts)[: len(self.draws)]
        ones = np.ones(len(values))
        scale = np.stack([self.scales.get(name, ones) for name in table["variable"]], axis=1)
        found = interval_of_draws(values, LEVEL, scale * table["sigma"].to_numpy(dtype=np.float64), seed)
        return found.low, found.high
