"""Members of an ensemble from resampled training data: rows as published, or sites."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import ConfigError
from talik.rng import named_rng
from talik.upscaling.forest import Forest
from talik.upscaling.learner import Data, Fitted, Learner
from talik.upscaling.training import Training, rows_of_site
from talik.upscaling.trees import Float32, Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One fitted member: the predictors it uses, and where its classes went."""

    fitted: Fitted
    columns: Int64
    """Predictors used, as columns of the model's schema."""
    recode: npt.NDArray[np.int16]
    """(p, levels) level -> level in the member's own data; a class that was not drawn maps to the nearest that was."""

    def predict(self, x: Float32, threads: int = 1) -> Float64:
        """(n,) mean for predictors (n, p) of the model's schema."""
        own = x[:, self.columns].copy()
        for k, column in enumerate(self.columns):
            levels = self.recode[column]
            if (levels >= 0).any():
                own[:, k] = levels[own[:, k].astype(np.int64)]
        return self.fitted.predict(own, threads)


def row_bootstrap(training: Training, learner: Learner, member: int, seed: int, threads: int = 1) -> Member:
    """Member number `member` of the published bootstrap (Virkkala et al. 2025).

    As many rows as there are, with replacement; learnt without the categorical predictors, whose classes can vanish
    in a resample; mtry at most the number of predictors left.
    """
    data = training.data
    rng = named_rng(seed, f"row bootstrap {member}")
    columns = np.flatnonzero(data.n_levels == 0)
    if not len(columns):
        raise ConfigError("the row bootstrap leaves categorical predictors out, and there are no others")
    drawn = _with_columns(data.take(np.sort(rng.integers(0, len(data), len(data)))), columns)
    if isinstance(learner, Forest) and learner.mtry is not None:
        learner = learner.model_copy(update={"mtry": min(learner.mtry, len(columns))})
    return Member(learner.fit(drawn, _member_seed(rng), threads), columns, _keep_levels(data))


def site_bootstrap(training: Training, learner: Learner, member: int, seed: int, threads: int = 1) -> Member:
    """Member number `member` of the bootstrap of sites.

    Sites are drawn with replacement, with all their rows, within biome x {eddy covariance, other} where the table
    says them; a site drawn twice counts as two. Classes that were not drawn are mapped to the drawn class with the
    nearest mean of the continuous predictors, in units of their standard deviation.
    """
    data = training.data
    rng = named_rng(seed, f"site bootstrap {member}")
    rows = rows_of_site(data.groups)
    drawn: list[int] = []
    for stratum in _strata(training):
        drawn += list(np.sort(rng.choice(stratum, len(stratum))))
    picked = data.take(np.concatenate([rows[s] for s in drawn]))
    picked = replace(picked, groups=np.repeat(np.arange(len(drawn)), [len(rows[s]) for s in drawn]))
    recode = _keep_levels(data)
    for column in np.flatnonzero(data.n_levels):
        recode[column] = _nearest_levels(data, picked, int(column), recode.shape[1])
    columns = np.arange(data.x.shape[1])
    return Member(learner.fit(picked, _member_seed(rng), threads), columns, recode)


def _strata(training: Training) -> list[Int64]:
    first = pd.Series(training.data.groups).drop_duplicates().index
    sites = training.rows.iloc[first].reset_index(drop=True)
    biome = sites["biome"].astype(str) if "biome" in sites else pd.Series("all", index=sites.index)
    tower = (
        sites["flux_method"].eq("EC").astype(str)
        if "flux_method" in sites
        else pd.Series("", index=sites.index)
    )
    groups = training.data.groups[first]
    return [np.sort(groups[i]) for i in (biome + " " + tower).groupby(biome + " " + tower).indices.values()]


def _keep_levels(data: Data) -> npt.NDArray[np.int16]:
    most = max(1, int(data.n_levels.max(initial=0)))
    recode = np.full((len(data.n_levels), most), -1, np.int16)
    for column, n in enumerate(data.n_levels):
        recode[column, :n] = np.arange(n)
    return recode


def _nearest_levels(data: Data, drawn: Data, column: int, width: int) -> npt.NDArray[np.int16]:
    n = int(data.n_levels[column])
    continuous = data.x[:, data.n_levels == 0].astype(float)
    spread = continuous.std(0)
    z = (continuous - continuous.mean(0)) / np.where(spread > 0, spread, 1)
    level = data.x[:, column].astype(np.int64)
    centre = np.stack([z[level == k].mean(0) for k in range(n)])
    kept = np.unique(drawn.x[:, column].astype(np.int64))
    distance = ((centre[:, None] - centre[None, kept]) ** 2).sum(-1)
    out = np.full(width, -1, np.int16)
    out[:n] = kept[distance.argmin(1)]
    return out


def _with_columns(data: Data, columns: Int64) -> Data:
    return replace(data, x=np.ascontiguousarray(data.x[:, columns]), n_levels=data.n_levels[columns])


def _member_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


KINDS = {"rows": row_bootstrap, "sites": site_bootstrap}
"""The bootstraps by name."""
