"""Predictions at sites, against the model run year by year, and their derivatives, against plain years."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talik.errors import ConfigError
from talik.jax64 import keep_compiled
from talik.tem import model
from talik.tem.acceleration import repeat
from talik.tem.calibration.forward import ANNUAL, POOLS, Fixed, Predicted, Sites, balance, predict, prepare
from talik.tem.calibration.free import Free, FreeParameters, free_parameters, with_values

_spec = importlib.util.spec_from_file_location("sites_world", Path(__file__).with_name("sites_world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

FIVE = ("cmax", "kdb", "krb", "nmax", "nupb")
OF = "wet_tundra"
COLUMN = world.COMMUNITIES.index(OF)


@pytest.fixture(scope="module")
def sites() -> Sites:
    keep_compiled()
    wanted = world.settings(soil_heat={"years": 100}, equilibrium={"years": 1500})
    return prepare(world.columns(), world.climate(), wanted)


@pytest.fixture(scope="module")
def free() -> FreeParameters:
    return free_parameters({OF: {name: Free() for name in FIVE}}, {}, {})


@pytest.fixture(scope="module")
def moved(free: FreeParameters) -> np.ndarray:
    """Coordinates away from the project's own values."""
    return free.start + np.array([0.15, 0.3, -0.1, 0.2, -0.2])


def flat(predicted: Predicted) -> jax.Array:
    """Fluxes of the record, then pools and fluxes of the equilibrium, each over its own size."""
    names = ("gpp", "reco", "nep", "pools", "annual")
    return jnp.concatenate([jnp.ravel(getattr(predicted, n)) for n in names])


@pytest.fixture(scope="module")
def exact(sites: Sites, free: FreeParameters, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray, Predicted]:
    """Predictions (m,), derivatives (m, n), and the predictions with their names."""

    def both(fixed: Fixed, x: jax.Array) -> tuple[jax.Array, jax.Array, Predicted]:
        def one(at: jax.Array) -> tuple[jax.Array, Predicted]:
            found = jax.tree.map(lambda a: a[..., 0, :], predict(sites, free, fixed, at[None]))
            return flat(found), found

        columns = jax.vmap(lambda t: jax.jvp(one, (x,), (t,), has_aux=True), out_axes=(None, 1, None))
        return columns(jnp.eye(x.size))

    values, jacobian, found = jax.jit(both)(sites.fixed, jnp.asarray(moved))
    return np.asarray(values), np.asarray(jacobian), found


def test_the_balance_is_what_plain_years_lead_to(
    sites: Sites, free: FreeParameters, moved: np.ndarray, exact: tuple
) -> None:
    found = exact[2]
    assert bool(found.balanced.all())
    parameters = with_values(free, free.values(moved), sites.fixed.parameters, sites.columns, None)
    steady = sites.settings.with_baseline(True)
    first = sites.fixed.first
    plain, _ = repeat(sites.fixed.start, first.forcing, first.soil, parameters, steady, 4000)
    expected = np.stack([getattr(plain.pools, name) for name in POOLS])
    np.testing.assert_allclose(found.pools, expected, rtol=2e-4)
    _, fluxes = model.biogeochemistry_step(plain, first.forcing, first.soil, parameters, steady)
    annual = np.stack([getattr(fluxes, name).sum(axis=0) for name in ANNUAL])
    np.testing.assert_allclose(found.annual, annual, rtol=1e-4)
    # where nothing was changed the balance is that of the project
    other = [i for i in range(len(world.COMMUNITIES)) if i != COLUMN]
    own = np.stack([getattr(sites.fixed.start.pools, name) for name in POOLS])
    np.testing.assert_allclose(np.asarray(found.pools)[:, other], own[:, other], rtol=2e-4)


@pytest.mark.science
def test_derivatives_of_the_balance_are_those_of_plain_years(
    sites: Sites, free: FreeParameters, moved: np.ndarray, exact: tuple
) -> None:
    """Tangents carried through 2500 years, without Newton's method and without the implicit function theorem."""
    first, steady = sites.fixed.first, sites.settings.with_baseline(True)

    def pools(x: jax.Array) -> jax.Array:
        parameters = with_values(free, free.values(x), sites.fixed.parameters, sites.columns, None)
        after, _ = repeat(sites.fixed.start, first.forcing, first.soil, parameters, steady, 2500)
        return jnp.log(jnp.stack([getattr(after.pools, name) for name in POOLS]))[:, COLUMN]

    slow = np.asarray(jax.jit(jax.jacfwd(pools))(jnp.asarray(moved)))
    _, jacobian, found = exact
    size = found.gpp.size
    shape = (len(POOLS), len(world.COMMUNITIES), len(FIVE))
    ours = jacobian[3 * size : 3 * size + shape[0] * shape[1]].reshape(shape)[:, COLUMN]
    ours = ours / np.asarray(found.pools)[:, COLUMN, None]
    np.testing.assert_allclose(ours, slow, rtol=2e-2, atol=5e-3 * np.abs(slow).max())


def test_derivatives_are_those_of_small_changes(
    sites: Sites, free: FreeParameters, moved: np.ndarray, exact: tuple
) -> None:
    one = jax.jit(lambda fixed, x: flat(predict(sites, free, fixed, x[None])))
    values, jacobian, found = exact
    np.testing.assert_allclose(one(sites.fixed, jnp.asarray(moved)), values, rtol=1e-9)
    step, size = 1e-4, found.gpp.size
    for i, name in enumerate(FIVE):
        at = step * np.eye(len(FIVE))[i]
        small = (one(sites.fixed, jnp.asarray(moved + at)) - one(sites.fixed, jnp.asarray(moved - at))) / (
            2 * step
        )
        # a flux against the largest derivative of any flux: some months answer to nothing
        np.testing.assert_allclose(
            np.asarray(small)[: 3 * size],
            jacobian[: 3 * size, i],
            atol=5e-4 * np.abs(jacobian[: 3 * size]).max(),
            rtol=0,
            err_msg=name,
        )


def test_the_record_is_the_model_run_year_by_year(
    sites: Sites, free: FreeParameters, moved: np.ndarray, exact: tuple
) -> None:
    """Soil heat of the loop, two times to settle and once more, and of the record; plants from the balance."""
    parameters = with_values(free, free.values(moved), sites.fixed.parameters, sites.columns, None)
    climate, settings, first = world.climate(), sites.settings, sites.fixed.first
    turns = [climate.forcing(y, loop=True) for y in climate.years]
    record = [climate.forcing(y) for y in climate.years]
    found, _ = balance(sites.fixed.start, first, parameters, settings)
    warm = sites.fixed.start
    for forcing in [*turns, *turns]:
        warm, _ = model.step(warm, forcing, sites.fixed.parameters, settings)
    state, gpp = found.state, []
    for forcing in [*turns, *record]:
        warmed, soil = model.soil_step(warm, forcing, parameters, settings)
        warm, _ = model.biogeochemistry_step(warmed, forcing, soil, parameters, settings)
        state, fluxes = model.biogeochemistry_step(state, forcing, soil, parameters, settings)
        gpp.append(np.asarray(fluxes.gpp))
    np.testing.assert_allclose(exact[2].gpp, np.stack(gpp[len(turns) :]), rtol=1e-6)


def test_a_start_is_predicted_as_it_would_be_alone(
    sites: Sites, free: FreeParameters, moved: np.ndarray, exact: tuple
) -> None:
    starts = np.stack([free.start, moved, 0.5 * (free.low + free.high)])
    three = jax.jit(lambda fixed, x: predict(sites, free, fixed, x))(sites.fixed, jnp.asarray(starts))
    assert three.gpp.shape == (world.YEARS, 12, 3, 3)
    for name in Predicted._fields:
        np.testing.assert_allclose(
            getattr(three, name)[..., 1, :], getattr(exact[2], name), rtol=1e-9, atol=1e-9, err_msg=name
        )
    assert not np.allclose(three.gpp[..., 0, COLUMN], three.gpp[..., 1, COLUMN], rtol=1e-2)


@pytest.mark.science
def test_insulation_makes_summers_colder_winters_warmer_and_derivatives_are_those_of_small_changes(
    sites: Sites,
) -> None:
    free = free_parameters({OF: {"fibric_m": Free(start=0.12), "snow_insulation": Free()}}, {}, {})
    assert free.ground
    below_organic = 5

    def july_and_march(fixed: Fixed, x: jax.Array) -> jax.Array:
        return predict(sites, free, fixed, x[None]).tsoil[-1, (6, 2), below_organic, 0, COLUMN]

    x, step = jnp.asarray(free.start), 1e-3
    slope = np.asarray(jax.jit(jax.jacfwd(july_and_march, argnums=1))(sites.fixed, x))
    run = jax.jit(july_and_march)
    for i in range(2):
        at = step * jnp.eye(2)[i]
        small = np.asarray(run(sites.fixed, x + at) - run(sites.fixed, x - at)) / (2 * step)
        np.testing.assert_allclose(slope[:, i], small, atol=0.02 * np.abs(small).max(), err_msg=free.names[i])
    assert slope[0, 0] < 0.0 < slope[1, 1]


def test_free_parameters_have_the_values_they_are_given() -> None:
    free = free_parameters({OF: {"cmax": Free(), "krb": Free(limits=(-5.0, -3.0))}}, {OF: {"krb": -4.5}}, {})
    assert free.names == ("wet_tundra.cmax", "wet_tundra.krb")
    # 254.92 * 0.35 + 586.35
    np.testing.assert_allclose(free.values(jnp.asarray(free.start)), [675.572, -4.5], rtol=1e-6)
    np.testing.assert_allclose(free.coordinates([675.572, -4.5]), free.start, rtol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        ({}, "names no parameter"),
        ({"tundra": {"cmax": Free()}}, "'tundra' is unknown"),
        ({OF: {"cmx": Free()}}, "no such parameter; choose one of"),
        ({OF: {"root_a": Free()}}, "rooting depth"),
        ({OF: {"cfall": Free()}}, "no limits, and none are suggested"),
        ({OF: {"cmax": Free(limits=(900.0, 100.0))}}, "expected the lower one first"),
        ({OF: {"cmax": Free(limits=(-1.0, 100.0))}}, "on a log scale"),
        ({OF: {"cmax": Free(limits=(10.0, 100.0))}}, "starts at 675.572, outside its limits 10..100"),
    ],
)
def test_names_and_limits_that_cannot_be(wanted: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        free_parameters(wanted, {}, {})
