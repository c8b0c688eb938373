"""Permafrost by layer: against a slow loop written from the formulas, conservation, and hand-worked cases."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.tem import communities, water
from talik.tem.permafrost.layers import (
    LAYERS,
    Parameters,
    Permafrost,
    Rates,
    Soil,
    carbon_layers,
    layer_moisture,
    one_month,
)
from talik.tem.permafrost.setup import freeze
from talik.tem.permafrost.stock import Stock
from talik.tem.thermal.grid import CARBON_THICKNESS_M, SOIL_THICKNESS_M, bounds

EDGES = bounds(CARBON_THICKNESS_M)
NAMES = [communities.COMMUNITIES[i] for i in (0, 1, 2, 1, 2, 0)]
CELLS = len(NAMES)
month_of = jax.jit(one_month, static_argnames=("refreeze_stop",))


class World:
    """Six cells with random soil, stock and five years of thaw that comes and goes."""

    def __init__(self, seed: int, months: int = 60) -> None:
        rng = np.random.default_rng(seed)
        self.plants = communities.parameters_for(NAMES)
        self.p = rng.uniform(0.1, 1.0, CELLS)
        self.site = water.site_for(self.plants, jnp.asarray(self.p), jnp.full(CELLS, 300.0))
        self.alt0 = rng.uniform(0.3, 3.0, CELLS)
        self.alt0[5] = 12.0
        carbon = rng.uniform(0.0, 4e4, (LAYERS, CELLS)) * CARBON_THICKNESS_M[:, None]
        stock = Stock(
            carbon, carbon / rng.uniform(6.0, 25.0, (LAYERS, CELLS)), np.full(CELLS, "observed"), ()
        )
        self.pools = freeze(stock, self.alt0)
        self.stock = stock
        self.parameters = Parameters(
            attenuation_m=jnp.asarray(rng.uniform(0.25, 2.0, CELLS)),
            inorganic_share=jnp.asarray(rng.uniform(0.0, 0.1, CELLS)),
            porosity=jnp.asarray(rng.uniform(0.3, 0.9, (LAYERS, CELLS))),
            deep_saturation=jnp.asarray(rng.uniform(0.3, 0.95, CELLS)),
            thaws=jnp.asarray([1.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
            in_reach=jnp.asarray([1.0, 1.0, 0.3, 1.0, 0.0, 1.0]),
        )
        self.rates = Rates(
            jnp.asarray(rng.uniform(5e-4, 3e-3, CELLS)), jnp.asarray(rng.uniform(0.0, 40.0, CELLS))
        )
        deepening = np.linspace(0.0, 3.0, months)[:, None] * rng.uniform(0.2, 1.2, CELLS)
        self.thaw = np.maximum(0.0, self.alt0 + deepening + rng.normal(0.0, 0.4, (months, CELLS)))
        self.alt = np.maximum(self.thaw, 0.2)
        self.tsoil = rng.uniform(-15.0, 6.0, (months, LAYERS, CELLS))
        self.moisture = rng.uniform(0.1, 0.5, (months, CELLS))
        self.available = rng.choice([0.0, 1e-4, 0.3, 5.0], (months, CELLS))

    def run(self, refreeze_stop: bool = False) -> tuple[Permafrost, list]:
        """The pools at the end and the flows of every month."""
        pools, flows = self.pools, []
        for m in range(len(self.thaw)):
            now = Soil(jnp.asarray(self.tsoil[m]), jnp.asarray(self.thaw[m]), jnp.asarray(self.alt[m]))
            pools, month = month_of(
                pools,
                jnp.asarray(self.available[m]),
                jnp.asarray(self.moisture[m]),
                now,
                self.rates,
                self.site,
                self.plants,
                self.parameters,
                refreeze_stop=refreeze_stop,
            )
            flows.append(month)
        return pools, flows


def slowly(world: World, cell: int, refreeze_stop: bool = False) -> dict[str, np.ndarray]:
    """One cell, layer after layer, in plain Python: Liu et al. (2024), Eq. 1, and TEM 4.3 for nitrogen."""
    q = {name: float(np.asarray(value)[cell]) for name, value in world.plants._asdict().items()}
    root = float(world.site.rooting_depth[cell])
    pores = float(world.site.porosity[cell])
    zt = float(world.parameters.attenuation_m[cell])
    eps = float(world.parameters.inorganic_share[cell])
    reach = float(world.parameters.in_reach[cell])
    kd, nup = float(world.rates.decomposition[cell]), float(world.rates.immobilisation[cell])
    start = run = world.alt0[cell]
    frozen_c, frozen_n, c, n, deep_n = (np.zeros(LAYERS) for _ in range(5))
    for k in range(LAYERS):
        length = max(0.0, EDGES[k + 1] - max(EDGES[k], start))
        share = length / CARBON_THICKNESS_M[k] if start < 10.0 else 0.0
        frozen_c[k] = world.stock.carbon[k, cell] * share
        frozen_n[k] = world.stock.nitrogen[k, cell] * share
    total = {name: np.zeros(LAYERS) for name in ("exposed_c", "exposed_n", "decomposed", "delivered")}
    for m in range(len(world.thaw)):
        old = run
        if float(world.parameters.thaws[cell]):
            run = max(run, world.thaw[m, cell])
        wanted = 0.0
        flows = []
        for k in range(LAYERS):
            top, bottom = EDGES[k], EDGES[k + 1]
            below_old = max(0.0, bottom - max(top, old))
            slice_ = max(0.0, min(bottom, run) - max(top, old))
            share = slice_ / below_old if below_old > 0 else 0.0
            dc, dn = frozen_c[k] * share, frozen_n[k] * share
            frozen_c[k] -= dc
            frozen_n[k] -= dn
            c[k] += dc
            upper, lower = min(max(start, top), bottom), min(max(run, top), bottom)
            above_root = max(0.0, min(lower, root) - upper) / (lower - upper) if lower > upper else 1.0
            above_alt = (
                max(0.0, min(lower, world.alt[m, cell]) - upper) / (lower - upper) if lower > upper else 1.0
            )
            z = 0.5 * (top + bottom)
            full = min(1.0, world.moisture[m, cell] / pores)
            wet = float(world.parameters.porosity[k, cell]) * (
                full if z < root else float(world.parameters.deep_saturation[cell])
            )
            f_m = (wet - 0.0) * (wet - 1.0) / ((wet - 0.0) * (wet - 1.0) - (wet - 0.5) ** 2)
            rate = kd * max(0.0, f_m) * math.exp(q["log_rhq10"] * world.tsoil[m, k, cell]) * math.exp(-z / zt)
            if refreeze_stop:
                rate *= above_alt
            rh = c[k] * (1.0 - math.exp(-rate))
            organic = n[k] + (1.0 - eps) * dn
            if z < root:
                moist = world.moisture[m, cell]
                x = world.available[m, cell] * moist**3 / (moist * 1000.0 * root)
            else:
                x = deep_n[k] * wet**3 / (wet * 1000.0 * CARBON_THICKNESS_M[k])
            net = 0.0
            if c[k] > 1e-9:
                ratio = organic / c[k]
                net = (ratio - nup * x / (q["k_n"] + x)) * rh
                net = net * ratio * q["cnsoil"] if net >= 0 else net / (ratio * q["cnsoil"])
                net = min(net, organic)
            to_root, to_deep = net * reach * above_root, net * (1.0 - reach * above_root)
            to_deep = max(to_deep, -deep_n[k])
            wanted += max(0.0, -to_root)
            flows.append((rh, organic, dc, dn, to_root, to_deep, reach * above_root))
        enough = min(1.0, world.available[m, cell] / wanted) if wanted > 1e-9 else 1.0
        for k, (rh, organic, dc, dn, to_root, to_deep, near) in enumerate(flows):
            to_root = to_root * enough if to_root < 0 else to_root
            c[k] -= rh
            n[k] = organic - to_root - to_deep
            deep_n[k] += to_deep + eps * dn * (1.0 - near)
            for name, value in (
                ("exposed_c", dc),
                ("exposed_n", dn),
                ("decomposed", rh),
                ("delivered", to_root + eps * dn * near),
            ):
                total[name][k] += value
    return {
        "frozen_c": frozen_c,
        "frozen_n": frozen_n,
        "thawed_c": c,
        "thawed_n": n,
        "mineral_n": deep_n,
        **total,
    }


@pytest.mark.parametrize("refreeze_stop", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_months_follow_the_formulas_layer_by_layer(seed: int, refreeze_stop: bool) -> None:
    world = World(seed)
    pools, flows = world.run(refreeze_stop)
    for cell in range(CELLS):
        expected = slowly(world, cell, refreeze_stop)
        for name in ("frozen_c", "frozen_n", "thawed_c", "thawed_n", "mineral_n"):
            np.testing.assert_allclose(
                np.asarray(getattr(pools, name))[:, cell], expected[name], rtol=1e-9, atol=1e-8, err_msg=name
            )
        for name in ("exposed_c", "exposed_n", "decomposed", "delivered"):
            ours = sum(np.asarray(getattr(f, name))[:, cell] for f in flows)
            np.testing.assert_allclose(ours, expected[name], rtol=1e-9, atol=1e-8, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), refreeze_stop=st.booleans())
def test_carbon_and_nitrogen_are_conserved_and_never_negative(seed: int, refreeze_stop: bool) -> None:
    world = World(seed, months=24)
    pools, flows = world.run(refreeze_stop)
    total = jax.tree.map(lambda *months: sum(months), *flows)
    start, end = world.pools, pools
    assert min(float(a.min()) for a in pools[:5]) >= 0.0
    np.testing.assert_allclose(
        np.asarray(end.frozen_c + end.thawed_c + total.decomposed),
        np.asarray(start.frozen_c),
        rtol=1e-13,
        atol=1e-9,
    )
    left = end.frozen_n + end.thawed_n + end.mineral_n
    np.testing.assert_allclose(
        np.asarray((left + total.delivered).sum(axis=0)), np.asarray(start.frozen_n.sum(axis=0)), rtol=1e-12
    )
    exposed = np.asarray(total.exposed_c.sum(axis=0))
    np.testing.assert_allclose(
        exposed, np.asarray((start.frozen_c - end.frozen_c).sum(axis=0)), rtol=1e-9, atol=1e-6
    )
    for month, available in zip(flows, world.available, strict=True):
        assert (np.asarray(month.delivered.sum(axis=0)) >= -available - 1e-12).all()


def test_without_exposure_nothing_is_respired() -> None:
    """Cell 3 is held as it is; cell 5 has no permafrost."""
    world = World(4)
    pools, flows = world.run()
    for cell in (3, 5):
        assert all(float(jnp.abs(flow[:, cell]).max()) == 0.0 for month in flows for flow in month)
    np.testing.assert_array_equal(np.asarray(pools.frozen_c)[:, 3], np.asarray(world.pools.frozen_c)[:, 3])
    assert float(world.pools.frozen_c[:, 5].max()) == 0.0
    assert float(world.pools.frozen_c[:, 3].max()) > 0.0


def test_thaw_exposes_exactly_the_stock_between_the_active_layer_and_the_deepest_thaw() -> None:
    """A uniform profile of 10 kg m-3: 0.35 m to 1.3 m hold 9.5 kg m-2, wherever the edges of layers lie."""
    world = World(1, months=1)
    carbon = np.tile(1e4 * CARBON_THICKNESS_M[:, None], CELLS)
    pools = freeze(Stock(carbon, carbon / 10.0, np.full(CELLS, "observed"), ()), np.full(CELLS, 0.35))
    still = world.rates._replace(decomposition=jnp.zeros(CELLS))
    for depth in (0.9, 0.5, 1.3, 1.1):
        now = Soil(jnp.zeros((LAYERS, CELLS)), jnp.full(CELLS, depth), jnp.full(CELLS, depth))
        pools, _ = month_of(
            pools,
            jnp.ones(CELLS),
            jnp.full(CELLS, 0.3),
            now,
            still,
            world.site,
            world.plants,
            world.parameters._replace(thaws=jnp.ones(CELLS)),
        )
    np.testing.assert_allclose(np.asarray(pools.thawed_c.sum(axis=0)), 9500.0, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(pools.frozen_c.sum(axis=0)), 4.7e4, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(pools.thawed_to), 1.3)


def test_all_of_a_layer_thaws_without_a_rest() -> None:
    world = World(1, months=1)
    now = Soil(jnp.zeros((LAYERS, CELLS)), jnp.full(CELLS, 50.0), jnp.full(CELLS, 50.0))
    pools, month = month_of(
        world.pools,
        jnp.ones(CELLS),
        jnp.full(CELLS, 0.3),
        now,
        world.rates,
        world.site,
        world.plants,
        world.parameters._replace(thaws=jnp.ones(CELLS)),
    )
    assert float(jnp.abs(pools.frozen_c).max()) == 0.0
    np.testing.assert_array_equal(np.asarray(month.exposed_c), np.asarray(world.pools.frozen_c))


def test_decomposition_falls_to_1_over_e_over_the_attenuation_depth() -> None:
    """Two layers alike but for their depth: the ratio of what they lose is exp(-distance / attenuation)."""
    world = World(7, months=1)
    same = jnp.full((LAYERS, CELLS), 1000.0)
    pools = world.pools._replace(thawed_c=same, thawed_n=same / 10.0, thawed_from=jnp.zeros(CELLS))
    parameters = world.parameters._replace(
        porosity=jnp.full((LAYERS, CELLS), 0.5), attenuation_m=jnp.full(CELLS, 0.5)
    )
    slow = world.rates._replace(decomposition=jnp.full(CELLS, 1e-9))
    now = Soil(jnp.zeros((LAYERS, CELLS)), jnp.zeros(CELLS), jnp.zeros(CELLS))
    moist = world.site.porosity * parameters.deep_saturation
    _, month = month_of(pools, jnp.ones(CELLS), moist, now, slow, world.site, world.plants, parameters)
    lost = np.asarray(month.decomposed)
    np.testing.assert_allclose(lost[19] / lost[0], math.exp(-(2.9 - 0.05) / 0.5), rtol=1e-6)


def carbon_layer_means() -> np.ndarray:
    """(25, 42) weights that average thermal layers over each carbon layer by thickness."""
    top, bottom = bounds(CARBON_THICKNESS_M)[:-1], bounds(CARBON_THICKNESS_M)[1:]
    edges = bounds(SOIL_THICKNESS_M)
    overlap = np.minimum(bottom[:, None], edges[None, 1:]) - np.maximum(top[:, None], edges[None, :-1])
    return np.clip(np.round(overlap, 12), 0.0, None) / CARBON_THICKNESS_M[:, None]


def test_layer_temperatures_are_means_by_thickness() -> None:
    np.testing.assert_allclose(carbon_layer_means()[0, :4], [0.2, 0.3, 0.5, 0.0], atol=1e-12)
    tsoil = np.random.default_rng(0).normal(size=(12, SOIL_THICKNESS_M.size, 4))
    expected = np.einsum("kl,mlc->mkc", carbon_layer_means(), tsoil)
    np.testing.assert_allclose(
        np.asarray(carbon_layers(jnp.asarray(tsoil))), expected, rtol=1e-12, atol=1e-12
    )


def test_moisture_is_that_of_the_root_zone_above_the_rooting_depth_and_fixed_below() -> None:
    world = World(3, months=1)
    full = np.asarray(layer_moisture(world.site.porosity, world.site, world.parameters))
    middle = 0.5 * (EDGES[:-1] + EDGES[1:])
    for cell in range(CELLS):
        near = middle < float(world.site.rooting_depth[cell])
        pores = np.asarray(world.parameters.porosity)[:, cell]
        deep = float(world.parameters.deep_saturation[cell])
        np.testing.assert_allclose(full[:, cell], np.where(near, pores, pores * deep))


def test_derivatives_by_attenuation_agree_with_differences() -> None:
    world = World(9, months=6)

    def respired(factor: jax.Array) -> jax.Array:
        pools, total = world.pools, jnp.zeros(CELLS)
        parameters = world.parameters._replace(attenuation_m=factor * world.parameters.attenuation_m)
        for m in range(6):
            now = Soil(jnp.asarray(world.tsoil[m]), jnp.asarray(world.thaw[m]), jnp.asarray(world.alt[m]))
            step = partial(month_of, refreeze_stop=False)
            pools, flows = step(
                pools,
                jnp.asarray(world.available[m]),
                jnp.asarray(world.moisture[m]),
                now,
                world.rates,
                world.site,
                world.plants,
                parameters,
            )
            total = total + flows.decomposed.sum(axis=0)
        return total

    _, slope = jax.jvp(respired, (jnp.asarray(1.0),), (jnp.asarray(1.0),))
    ahead, behind = respired(jnp.asarray(1.0 + 1e-5)), respired(jnp.asarray(1.0 - 1e-5))
    np.testing.assert_allclose(np.asarray(slope), np.asarray(ahead - behind) / 2e-5, rtol=1e-6, atol=1e-9)
