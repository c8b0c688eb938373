"""What the cases of `benchmarks.fusion_towers` say: members run again, against observations and the data-free case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from talik.fusion.ensemble import carbon_use_efficiency, leaf_area, residence_time
from talik.fusion.inputs import Inputs, Reader
from talik.fusion.observations import Observations
from talik.fusion.parameters import PARAMETERS, POOLS
from talik.fusion.posterior import block_data, simulate_members
from talik.fusion.run import open_result
from talik.fusion.section import files_of, settings_of
from talik.fusion.settings import FusionSettings
from talik.fusion.works import RESULT
from talik.rng import named_rng
from talik.workflow.project import load_project

Floats = NDArray[np.float64]

HALVES = {"observed": "calibration", "held_out": "validation"}
YEAR = 365.25


@dataclass(frozen=True, eq=False)
class Case:
    """A case that is done: its project, its result and its input."""

    name: str
    settings: FusionSettings
    result: xr.Dataset
    inputs: Inputs

    @classmethod
    def open(cls, folder: Path, name: str) -> Case | None:
        """None if it is not done."""
        path = folder / name / RESULT
        if not path.is_file():
            return None
        project = load_project(folder / f"{name}.yaml")
        settings = settings_of(project)
        reader = Reader(settings, files_of(project, settings))
        return cls(name, settings, open_result(path), reader.read(reader.pixels()))

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the pixels."""
        return self.inputs.pixels.names

    @cached_property
    def members(self) -> dict[str, Floats]:
        """nee (up), gpp, rh, lai (time, site, member), g C m-2 d-1 and 1; capitals: means (site, member)."""
        theta = self.result["parameters"].values
        data = block_data(self.inputs.drivers_of(self.inputs.good), Observations())
        pools, fluxes = simulate_members(
            jnp.asarray(np.moveaxis(theta, -1, 0)), data, self.settings.chosen_switches()
        )
        pools, (gpp, ra, rh, _fire) = np.asarray(pools), (np.asarray(f) for f in fluxes)
        days = self.inputs.axis.dt
        out = {"gpp": gpp, "nee": ra + rh - gpp, "rh": rh, "lai": leaf_area(pools, theta)}
        for name, flux in {"GPP": gpp, "Ra": ra, "Rh": rh, "NEE": out["nee"]}.items():
            out[name] = np.einsum("tpm,t->pm", flux, days) / days.sum() * YEAR
        out["CUE"] = carbon_use_efficiency(gpp - ra, gpp, days)
        out["MRT"] = residence_time(pools, rh, days)
        out["LAI"] = out["lai"].mean(axis=0)
        out["biomass"] = pools[:, : POOLS.index("litter")].sum(axis=1).mean(axis=0)
        out["SOM"] = pools[:, POOLS.index("som")].mean(axis=0)
        return out


def fits(case: Case) -> pd.DataFrame:
    """A row for each site, stream and half: n, bias, RMSE, correlation of the median, and coverage.

    in_50, in_95 : share of observations within the limits of the model with the error of the observation drawn on top.
    model_50, model_95 : of the model alone.     climate_n, climate_rmse, median_rmse : validation months whose calendar
    month the calibration half holds too, and RMSE there of its mean and of the model. Sites without members are left
    out.
    """
    error = case.settings.observations.tower_error
    rng = named_rng(0, "errors of towers")
    months = case.inputs.axis.months
    rows = []
    for stream, sd_of in (("nee", error.nee_sd), ("gpp", error.gpp_sd)):
        held = case.inputs.streams[stream]
        for k, site in enumerate(case.sites):
            given = pd.Series(held.value[:, k]).groupby(months).mean()
            for what, half in HALVES.items():
                values = (held.value if what == "observed" else held.held_out)[:, k]
                at = np.flatnonzero(np.isfinite(values))
                obs, model = values[at], case.members[stream][at, k]
                if not np.isfinite(model).all():
                    continue  # no draw keeps the constraints
                told = model + sd_of(obs)[:, None] * rng.standard_normal(model.shape)
                median = np.median(model, axis=1)
                climate = given.reindex(months[at]).to_numpy()
                both = np.isfinite(climate)
                rows.append(
                    {
                        "site": site,
                        "stream": stream,
                        "half": half,
                        "n": at.size,
                        "bias": (median - obs).mean(),
                        "rmse": _rmse(median - obs),
                        "r": np.corrcoef(median, obs)[0, 1],
                        "in_50": _inside(told, obs, 0.5),
                        "in_95": _inside(told, obs, 0.95),
                        "model_50": _inside(model, obs, 0.5),
                        "model_95": _inside(model, obs, 0.95),
                        "climate_n": int(both.sum()),
                        "climate_rmse": _rmse((climate - obs)[both]),
                        "median_rmse": _rmse((median - obs)[both]),
                    }
                )
    return pd.DataFrame(rows)


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """All sites together, by stream and half: shares and biases weighted by months, RMSE of all months."""

    def one(of: pd.DataFrame) -> pd.Series:
        weight = of["n"] / of["n"].sum()
        out = {name: (of[name] * weight).sum() for name in ("bias", "in_50", "in_95", "model_50", "model_95")}
        both = of[of["climate_n"] > 0]
        share = both["climate_n"] / both["climate_n"].sum()
        return pd.Series(
            {
                "n": of["n"].sum(),
                "rmse": float(np.sqrt((of["rmse"] ** 2 * weight).sum())),
                **out,
                "climate_n": both["climate_n"].sum(),
                "climate_rmse": float(np.sqrt((both["climate_rmse"] ** 2 * share).sum())),
                "median_rmse": float(np.sqrt((both["median_rmse"] ** 2 * share).sum())),
            }
        )

    return table.groupby(["stream", "half"]).apply(one, include_groups=False).reset_index()


def limits(values: Floats) -> Floats:
    """2.5, 50 and 97.5 % (3, site) of members (site, member)."""
    return np.quantile(values, (0.025, 0.5, 0.975), axis=-1)


def flux_shares(prior: Case, posterior: Case) -> pd.DataFrame:
    """Width of the 95 % range against that without data, by site; of logarithms, but for NEE and CUE."""
    out = {}
    for name in ("GPP", "Ra", "Rh", "NEE", "CUE", "LAI", "biomass", "SOM", "MRT"):
        pair = [case.members[name] for case in (prior, posterior)]
        ends = [limits(v if name in ("NEE", "CUE") else np.log(v)) for v in pair]
        out[name] = (ends[1][2] - ends[1][0]) / (ends[0][2] - ends[0][0])
    return pd.DataFrame(out, index=list(posterior.sites))


def parameter_shares(prior: Case, posterior: Case) -> pd.DataFrame:
    """The same of each parameter, of logarithms; a row for each site."""
    ends = [
        limits(np.log(np.swapaxes(case.result["parameters"].values, 1, 2))) for case in (prior, posterior)
    ]
    share = (ends[1][2] - ends[1][0]) / (ends[0][2] - ends[0][0])
    return pd.DataFrame(share, index=list(posterior.sites), columns=[p.name for p in PARAMETERS])


def _rmse(error: Floats) -> float:
    return float(np.sqrt((error**2).mean())) if error.size else float("nan")


def _inside(draws: Floats, observed: Floats, probability: float) -> float:
    low, high = np.quantile(draws, (0.5 - probability / 2, 0.5 + probability / 2), axis=1)
    return float(((observed >= low) & (observed <= high)).mean())
