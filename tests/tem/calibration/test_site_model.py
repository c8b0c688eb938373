"""Targets at their places in the model's output, and a search that finds the parameters of its own observations."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from talik.errors import ConfigError, InputError
from talik.jax64 import keep_compiled
from talik.tem.calibration import gml
from talik.tem.calibration.forward import ANNUAL, POOLS, Predicted, Sites, predict, prepare
from talik.tem.calibration.free import Free, free_parameters
from talik.tem.calibration.site_model import (
    BALANCE,
    VARIABLES,
    SiteModel,
    balance_targets,
    modelled,
    targets_of,
)

_spec = importlib.util.spec_from_file_location("sites_world", Path(__file__).with_name("sites_world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)
PLACE = {"desert": 0, "tundra": 1, "forest": 2}
YEARS = range(2001, 2001 + world.YEARS)


def bare() -> Sites:
    """Sites of which only columns and years are asked for."""
    return Sites(world.columns(), YEARS, None, 0, None)  # type: ignore[arg-type]


def rows(*rows: tuple) -> pd.DataFrame:
    """Observations of (site, year, month, variable, depth, value)."""
    names = ("site_id", "year", "month", "variable", "depth_m", "value")
    return pd.DataFrame([*rows], columns=names).assign(sigma=2.0, source="made")


def predicted() -> Predicted:
    """Two starts, every month another number."""
    rng = np.random.default_rng(3)
    shape = (len(YEARS), 12, 2, 3)
    month = lambda: jnp.asarray(rng.normal(size=shape))  # noqa: E731
    tsoil = jnp.asarray(rng.normal(size=(len(YEARS), 12, 42, 2, 3)))
    pools, annual = rng.normal(size=(len(POOLS), 2, 3)), rng.normal(size=(len(ANNUAL), 2, 3))
    return Predicted(
        month(),
        month(),
        month(),
        tsoil,
        month(),
        jnp.asarray(pools),
        jnp.asarray(annual),
        jnp.ones((2, 3), bool),
    )


def test_each_target_is_found_at_its_site_year_and_month() -> None:
    table = rows(
        ("forest", 2003, 7, "gpp", np.nan, 1.0),
        ("tundra", 2001, 1, "reco", np.nan, 1.0),
        ("desert", 2005, 12, "nee", np.nan, 1.0),
        ("tundra", 2002, 6, "thaw_depth", np.nan, 1.0),
        ("forest", 2004, 8, "tsoil", 0.05, 1.0),
    )
    held = predicted()
    found = np.asarray(modelled(held, targets_of(table, bare(), PLACE)))
    # 5 cm is the middle between layers of 0-2, 2-5 and 5-10 cm: linear between the middles 3.5 and 7.5 cm
    for start in range(2):
        warm = held.tsoil[3, 7, :, start, 2]
        expected = [
            held.gpp[2, 6, start, 2],
            held.reco[0, 0, start, 1],
            -held.nep[4, 11, start, 0],
            held.thaw_depth[1, 5, start, 1],
            warm[1] + (warm[2] - warm[1]) * 1.5 / 4.0,
        ]
        np.testing.assert_allclose(found[start], expected, rtol=1e-12)
    assert set(table["variable"]) == set(VARIABLES)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (rows(), "no observation"),
        (rows(("bog", 2003, 7, "gpp", np.nan, 1.0)), "observations of bog, which do not run"),
        (
            rows(("tundra", 1999, 7, "gpp", np.nan, 1.0)),
            r"1 observations lie outside the climate 2001..2005, first gpp of tundra in 1999",
        ),
    ],
)
def test_observations_that_the_model_does_not_have(table: pd.DataFrame, match: str) -> None:
    with pytest.raises(InputError, match=match):
        targets_of(table, bare(), PLACE)


def test_targets_of_the_equilibrium_are_those_of_its_community() -> None:
    found = balance_targets(world.columns(), ["boreal_forest", "wet_tundra"], ["C_S", "npp"], 0.2)
    named = [(BALANCE[w], world.COMMUNITIES[c], float(v)) for v, _, w, c in zip(*found, strict=True)]
    assert named == [
        ("C_S", "boreal_forest", 11000.0),
        ("npp", "boreal_forest", 220.0),
        ("C_S", "wet_tundra", 12000.0),
        ("npp", "wet_tundra", 120.0),
    ]
    np.testing.assert_allclose(found.sigma, 0.2 * found.value)
    with pytest.raises(ConfigError, match="no target pools of 'grassland'"):
        balance_targets(world.columns(), ["grassland"], ["C_S"], 0.2)
    with pytest.raises(ConfigError, match="'leaf' is unknown; choose from: C_V"):
        balance_targets(world.columns(), ["wet_tundra"], ["leaf"], 0.2)


@pytest.mark.science
def test_a_twin_finds_the_parameters_of_its_own_observations() -> None:
    """Five parameters of wet tundra from monthly fluxes of five years and pools of the equilibrium, four starts."""
    keep_compiled()
    sites = prepare(world.columns(), world.climate(), world.settings(soil_heat={"years": 100}))
    names = ("cmax", "kdb", "krb", "nmax", "nupb")
    free = free_parameters({"wet_tundra": {name: Free() for name in names}}, {}, {})
    truth = free.start + np.array([0.2, 0.3, -0.2, 0.25, -0.3])
    months = [
        ("tundra", y, m, v, np.nan, 0.0) for y in YEARS for m in range(1, 13) for v in ("gpp", "reco", "nee")
    ]
    targets = targets_of(rows(*months), sites, PLACE)
    held = predict(sites, free, sites.fixed, jnp.asarray(truth)[None])
    values = np.asarray(modelled(held, targets))[0]
    targets = targets._replace(value=values, sigma=np.maximum(0.1 * np.abs(values), 1.0))
    equilibrium = balance_targets(world.columns(), ["wet_tundra"], ["C_V", "C_S", "N_VS", "uptake"], 0.1)
    own = np.concatenate([held.pools, held.annual])[equilibrium.which, 0, equilibrium.column]
    model = SiteModel(sites, free, targets, equilibrium._replace(value=own, sigma=0.1 * own))
    starts = gml.latin_hypercube(4, free.low, free.high, 1, free.start)
    settings = gml.Settings(least_reduction=1e-6, least_change=1e-6, iterations=60)
    found = gml.search(model, starts, free.low, free.high, free.log, settings)
    assert found.phi[found.best] < 1e-3
    near = [np.abs(x - truth).max() < 0.02 for x in found.x]
    assert near[found.best]
    assert sum(near) >= 3
