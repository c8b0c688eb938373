"""Samoylov Island: the column under 42 years of daily weather against thaw depth and ground temperature."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from talik.tem.thermal import materials, snow
from talik.tem.thermal.column import one_day
from talik.tem.thermal.freezing import Layers, temperature
from talik.tem.thermal.grid import interpolation
from talik.tem.thermal.year import initial_heat, thaw_depth

FIRST, YEARS = 1979, 42
DENSITY = {"tundra": 0.28, "taiga": 0.225, "given": None}
"""g cm-3: the classes of windy and of calm snow, and the daily density of the weather file."""


@pytest.fixture(scope="module")
def samoylov(shared: Path) -> dict[str, np.ndarray]:
    """Thaw depth (year, case) and mean annual temperature at 0.4 and 20 m, and what was measured, by year."""
    table = pd.read_csv(
        shared / "data/samoylov-forcing/samoylov_era5_fitted_daily_1979-2020.csv.gz", parse_dates=["date"]
    )
    date = table.date.dt
    table = table[(date.year < FIRST + YEARS) & ~((date.month == 2) & (date.day == 29))]
    tair, swe_m, density = (
        table[name].to_numpy().reshape(YEARS, 365) for name in ("tair_degC", "swe_m", "snow_density_kg_m3")
    )
    per_case = [density / 1000 if d is None else np.full_like(swe_m, d) for d in DENSITY.values()]
    cover = np.stack(
        [1000 * swe_m * np.asarray(snow.resistance_per_mm(jnp.asarray(d))) for d in per_case], -1
    )
    surface = np.where(1000 * swe_m > snow.COVERED_MM, np.minimum(tair, 0.0), tair)
    weather = jnp.asarray(np.repeat(surface[..., None], len(DENSITY), -1)), jnp.asarray(cover)

    cells = len(DENSITY)
    ground = materials.ground_for(
        ["wet_tundra"] * cells, *(jnp.full(cells, v) for v in (45.0, 10.0, 0.8, 0.5))
    )
    layers = materials.physical_layers(jnp.full(cells, 0.95), ground)
    soil = Layers(*(a[1:] for a in layers))

    @jax.jit
    def run(heat, weather):
        def day(carry, now):
            heat, total, warmest = carry
            heat, _ = one_day(heat, layers, *now)
            return (heat, total + temperature(heat[1:], soil), jnp.maximum(warmest, heat[1:])), None

        def year(heat, days):
            (heat, total, warmest), _ = jax.lax.scan(day, (heat, jnp.zeros_like(heat[1:]), heat[1:]), days)
            return heat, (total / 365, jnp.clip(warmest * soil.per_latent, 0.0, 1.0))

        return jax.lax.scan(year, heat, weather)

    heat = initial_heat(jnp.full(cells, -13.0), layers, jnp.full(cells, 0.95)).heat
    for _ in range(3):  # 126 years
        heat, (tsoil, liquid) = run(heat, weather)
    at_depth = np.asarray(jnp.einsum("dl,ylc->dyc", jnp.asarray(interpolation((0.4, 20.0))), tsoil))

    folder = shared / "data/permafrost-cci-validation"
    calm = pd.read_csv(folder / "alt_insitu_1997-2019.csv.gz")
    ground_t = pd.read_parquet(folder / "magt_insitu_depths_1980-2018.parquet")
    site = ground_t[ground_t.name.isin(["Samoilov_Center", "Samoylov_Rim"]) & (ground_t.depth_cm == 40)]
    years = np.arange(FIRST, FIRST + YEARS)
    return {
        "alt": np.asarray(thaw_depth(liquid)),
        "shallow": at_depth[0],
        "deep": at_depth[1],
        "alt_measured": calm[calm.code == "R51"].set_index("year").alt_cm.reindex(years).to_numpy(float)
        / 100,
        "shallow_measured": site.groupby("year").magt_degC.mean().reindex(years).to_numpy(float),
    }


CASE = {name: i for i, name in enumerate(DENSITY)}


def test_thaw_depth(samoylov: dict[str, np.ndarray]) -> None:
    """15 years of CALM, 0.51 m: the mean within 0.12 m, and the years in their order."""
    measured = samoylov["alt_measured"]
    seen = np.isfinite(measured)
    assert seen.sum() == 15
    for name in ("tundra", "taiga"):
        alt = samoylov["alt"][seen, CASE[name]]
        assert abs(alt.mean() - measured[seen].mean()) < 0.12, (name, alt.mean())
        assert np.corrcoef(alt, measured[seen])[0, 1] > 0.6, name


def test_ground_temperature(samoylov: dict[str, np.ndarray]) -> None:
    """-8 degC at 0.4 m: calm snow within 2 K, windy snow too cold, and the year-to-year differences followed."""
    measured = samoylov["shallow_measured"]
    seen = np.isfinite(measured)
    assert seen.sum() == 9
    mean = samoylov["shallow"][seen].mean(0)
    assert abs(mean[CASE["taiga"]] - measured[seen].mean()) < 2.0
    assert -5.0 < mean[CASE["tundra"]] - measured[seen].mean() < 0.0
    windy = samoylov["shallow"][seen, CASE["tundra"]]
    assert np.corrcoef(windy, measured[seen])[0, 1] > 0.6
    assert -12.0 < samoylov["deep"][-15:, CASE["tundra"]].mean() < -7.0
    assert -12.0 < samoylov["deep"][-15:, CASE["taiga"]].mean() < -5.0


def test_light_snow_would_thaw_the_island(samoylov: dict[str, np.ndarray]) -> None:
    """The snow density of the weather file (0.15 g cm-3) insulates three to six times as much as the classes do."""
    assert samoylov["shallow"][-15:, CASE["given"]].mean() > -4.0
