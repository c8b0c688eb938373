"""Constraints against the test vector, against a slow version written from their words, and their properties."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fusion import made_up, vector

from talik.errors import ConfigError
from talik.fusion.constraints import (
    ROUNDING,
    Margins,
    Scales,
    balance_ratios,
    balance_window,
    hard_pass,
    log_penalty,
    margins,
    n_failed,
    pool_totals,
    totals_by_stocks,
)
from talik.fusion.dalec import simulate
from talik.fusion.drivers import Drivers
from talik.fusion.parameters import POOLS, P, bounds_of
from talik.fusion.prior import draw_prior
from talik.fusion.switches import Switches
from talik.fusion.trajectory import Trajectory

STEPS = 40
compiled = jax.jit(margins, static_argnames=("switches", "rounding"))
CASES = ("A", "B", "C")


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.Series:
    return vector.read(shared)


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest, table: pd.Series) -> tuple[str, np.ndarray, Trajectory, Drivers]:
    case = request.param
    theta, drivers = vector.theta_of(table), vector.drivers_of(table, case)
    return case, theta, simulate(theta, drivers, vector.switches_of(case)), drivers


def test_vector_totals_and_balances(table: pd.Series, run: tuple) -> None:
    case, _, trajectory, drivers = run
    entering, leaving = pool_totals(trajectory, drivers, [(0, 24)])
    tolerance = 5e-5 if case == "C" else 4e-6
    for got, group in (
        (entering, "pool_input_24mo"),
        (leaving, "pool_output_24mo"),
        (balance_ratios(trajectory, drivers, [balance_window(24)]), "edc_D2_lnFinFout"),
    ):
        expected = vector.by_pool(table, case, group)
        np.testing.assert_allclose(
            got[0, :, 0, 0], expected, rtol=20 * tolerance if "D2" in group else tolerance
        )


def test_vector_verdicts(table: pd.Series, run: tuple) -> None:
    case, theta, trajectory, drivers = run
    found = margins(theta, trajectory, drivers, vector.switches_of(case))
    named = by_name(found, (0, 0))
    for i in range(1, 9):
        flag = bool(float(table[(case, "edc_static_pass", f"S{i}", 0)]))
        assert flag == all(v <= 0 for n, v in named.items() if n.split()[0] == f"S{i}")
    flag = bool(float(table[(case, "edc_dynamic_pass", "D1_fol_root_ratio", 0)]))
    assert flag == (max(named["D1 low"], named["D1 high"]) <= 0)
    stat = vector.by_pool(table, case, "edc_D3_stat")
    got = [max(named[f"D3 {p} low"], named[f"D3 {p} high"]) + 0.05 for p in POOLS]
    np.testing.assert_allclose(got, stat, rtol=3e-4 if case == "C" else 2e-5)
    assert bool(hard_pass(found)[0, 0]) == bool((stat <= 0.05).all())  # nothing else fails in these cases


def by_name(found: Margins, member: tuple[int, ...]) -> dict[str, float]:
    names = found.static_names + found.dynamic_names
    values = [float(a[member]) for part in (found.static, found.dynamic) for a in np.asarray(part)]
    return dict(zip(names, values, strict=True))


# The slow version: loops, ratios instead of logarithms, one member at a time.


def slow_totals(flux: dict[str, np.ndarray | None], days: np.ndarray, pool: int, steps: range) -> tuple:
    gain = {0: ["to_labile"], 1: ["to_foliage", "release"], 2: ["to_root"], 3: ["to_wood"]}
    gain |= {4: ["fall", "root_turnover"], 5: ["wood_turnover", "litter_to_som"]}
    loss = {0: ["release"], 1: ["fall"], 2: ["root_turnover"], 3: ["wood_turnover"]}
    loss |= {4: ["rh_litter", "litter_to_som"], 5: ["rh_som"]}
    killed_into = {4: (0, 1, 2), 5: (3, 4)}
    entering = leaving = 0.0
    for t in steps:
        entering += days[t] * sum(flux[name][t] for name in gain[pool])
        leaving += days[t] * sum(flux[name][t] for name in loss[pool])
        if flux["emission"] is not None:
            entering += days[t] * sum(flux["mortality"][t, i] for i in killed_into.get(pool, ()))
            leaving += days[t] * flux["emission"][t, pool]
            leaving += days[t] * flux["mortality"][t, pool] if pool < 5 else 0.0
            leaving += days[t] * flux["cut"][t, pool] if pool < 4 else 0.0
            leaving += days[t] * flux["som_loss"][t] if pool == 5 else 0.0
    return entering, leaving


def slow_verdicts(
    theta: np.ndarray, pools: np.ndarray, flux: dict, days: np.ndarray, warmth: float, switches: Switches
) -> dict[str, bool]:
    p = {q.name: float(theta[q]) for q in P}
    steps = len(days)
    a_f = (1 - p["F_A"]) * p["F_F"]
    a_l = (1 - p["F_A"] - a_f) * p["F_L"]
    a_r = (1 - p["F_A"] - a_f - a_l) * p["F_R"]
    a_w = 1 - p["F_A"] - a_f - a_l - a_r
    out = {
        "S1": p["K_S"] <= p["K_L"],
        "S2": p["K_LS"] >= p["K_S"],
        "S3": p["K_W"] <= 1 / (365.25 * p["L_F"]),
        "S4": p["K_R"] >= p["K_S"] * np.exp(p["THETA"] * warmth),
        "S5": 1 / 5 <= (a_f + a_l) / a_r <= 5,
        "S6": p["CC_FOL"] >= p["CC_LIV"],
        "S7": p["CC_LIV"] >= p["CC_SOM"],
        "S8": p["CC_LIT"] >= p["CC_LIV"],
        "D1": 1 / 5 <= pools[:, 1].mean() / pools[:, 2].mean() <= 5,
        "D4": bool(np.isfinite(pools).all() and (pools >= 0).all()),
    }
    if switches.photosynthesis == "acm2":
        npp = flux["gpp"] - flux["ra"]
        out["D5"] = (
            pools[:, 1].max() / p["LCMA"] <= 10
            and flux["gpp"].max() > 0.001
            and (days * (flux["to_foliage"] + flux["release"])).sum() <= (days * npp).sum()
        )

    def ratio(pool: int, start: int, stop: int) -> float:
        entering, leaving = slow_totals(flux, days, pool, range(start, stop))
        return entering / leaving

    for i, name in enumerate(POOLS):
        if switches.constraints == "edinburgh":
            late, one, two = ratio(i, 24, steps), ratio(i, 0, 12), ratio(i, 12, 24)
            out[f"D2 {name}"] = 0.5 <= late <= 2
            if switches.steady == "difference":
                out[f"D3 {name}"] = abs(np.log(one / two)) <= switches.steady_tolerance
            elif switches.steady == "absolute":
                out[f"D3 {name}"] = abs(abs(np.log(one)) - abs(np.log(two))) <= switches.steady_tolerance
            elif switches.steady == "ratio2022":
                both = ratio(i, 0, 24)
                out[f"D3 {name}"] = abs(abs(np.log(both)) - abs(np.log(late))) <= np.log(2)
        elif switches.constraints == "jpl":
            mean = ratio(i, 0, steps)
            januaries = [pools[t, i] for t in range(0, steps + 1, 12)]
            steady = mean * np.mean(januaries) / pools[0, i]
            top = bounds_of(switches.bounds)[1][P.C_LAB + i]
            out[f"J {name}"] = 0.5 <= steady <= 2 and abs(steady - mean) <= 0.1 and pools[:, i].mean() <= top
        elif switches.constraints == "b15":
            n = steps // 12
            years = [pools[12 * y : 12 * (y + 1), i].mean() for y in range(n)]
            shifted = [pools[12 * y + 1 : 12 * (y + 1) + 1, i].mean() for y in range(2)]
            before, after = years[1] - years[0], shifted[1] - shifted[0]
            c = np.log(after / before) / days.mean() if before * after > 0 else 1.0
            out[f"B15 {name}"] = years[-1] / years[0] <= 1 + 0.1 * n and not (
                c < 0 and np.log(2) / abs(c) < 365.25 * n
            )
    if switches.constraints == "b15":
        warm = np.exp(p["THETA"] * warmth)
        litter = a_f + a_l + a_r
        kept = {
            "SOM": (a_w + litter * p["K_LS"] / (p["K_LS"] + p["K_L"])) / (p["K_S"] * warm) / p["C_SOM"],
            "LIT": litter / (p["K_L"] * warm) / p["C_LIT"],
            "WOO": a_w / p["K_W"] / p["C_WOO"],
            "ROO": a_r / p["K_R"] / p["C_ROO"],
        }
        for name, x in kept.items():
            out[f"B15 near {name}"] = 0.1 <= flux["gpp"].mean() * x <= 10
    return out


GROUPS = {
    "J": lambda name: [f"J {kind} {name}" for kind in ("ratio", "steady", "stock")],
    "B15": lambda name: [f"B15 {kind} {name}" for kind in ("growth", "decay")],
}


def fast_verdict(named: dict[str, float], identity: str) -> bool:
    kind, _, pool = identity.partition(" ")
    if pool.startswith("near"):
        full = {"SOM": "som", "LIT": "litter", "WOO": "wood", "ROO": "root"}[pool[5:]]
        prefixes = [f"B15 stock {full}"]
    else:
        prefixes = GROUPS[kind](pool) if kind in GROUPS else [identity]
    chosen = [v for n, v in named.items() if any(n == q or n.startswith(q + " ") for q in prefixes)]
    assert chosen, identity
    return all(v <= 0 for v in chosen)


FORMS = {
    "difference": Switches(steady="difference"),
    "absolute": Switches(steady="absolute", steady_tolerance=0.02),
    "ratio2022": Switches(steady="ratio2022", photosynthesis="acm2"),
    "jpl": Switches(constraints="jpl"),
    "b15": Switches(constraints="b15", bounds="b15"),
}


@pytest.mark.parametrize(("form", "disturbed"), [*((form, True) for form in FORMS), ("absolute", False)])
def test_every_verdict_is_that_of_the_slow_version(form: str, disturbed: bool) -> None:
    rng = np.random.default_rng(7)
    switches = FORMS[form]
    unrest = 0.5 if form == "ratio2022" else 0.05
    trajectory = made_up.trajectory(rng, STEPS, disturbed=disturbed, unrest=unrest)
    drivers = made_up.drivers(rng, STEPS)
    n = made_up.BATCH[0] * made_up.BATCH[1]
    theta = draw_prior(rng, n, switches).reshape(-1, *made_up.BATCH)
    theta[P.LCMA, :, ::2] = 1.0  # half of the canopies are dense
    found = jax.tree.map(np.asarray, compiled(theta, trajectory, drivers, switches))
    passes = hard_pass(found)
    flux = {k: None if v is None else np.asarray(v) for k, v in trajectory.fluxes._asdict().items()}
    verdicts: dict[str, list[bool]] = {}
    for pixel, chain in np.ndindex(*made_up.BATCH):
        one = {k: None if v is None else v[..., pixel, chain] for k, v in flux.items()}
        expected = slow_verdicts(
            theta[:, pixel, chain],
            np.asarray(trajectory.pools)[..., pixel, chain],
            one,
            np.asarray(drivers.dt)[:, 0, 0],
            float(np.mean(drivers.mean_temperature[:, pixel, 0])),
            switches,
        )
        named = by_name(found, (pixel, chain))
        assert {k: fast_verdict(named, k) for k in expected} == expected
        assert bool(passes[pixel, chain]) == all(expected.values())
        for k, v in expected.items():
            verdicts.setdefault(k, []).append(v)
    one_sided = {k for k, v in verdicts.items() if sum(v) in (0, n)}
    assert one_sided <= {"S1", "S4", "D4"}  # the others are met by some members and not by others


def test_totals_are_those_of_the_slow_version() -> None:
    rng = np.random.default_rng(3)
    trajectory, drivers = made_up.trajectory(rng, STEPS), made_up.drivers(rng, STEPS)
    entering, leaving = pool_totals(trajectory, drivers, [(0, 40), (5, 31)])
    one = {k: np.asarray(v)[..., 1, 2] for k, v in trajectory.fluxes._asdict().items()}
    for pool in range(6):
        expected = slow_totals(one, np.asarray(drivers.dt)[:, 0, 0], pool, range(5, 31))
        np.testing.assert_allclose((entering[1, pool, 1, 2], leaving[1, pool, 1, 2]), expected, rtol=1e-12)


def test_negative_or_undefined_pools_fail() -> None:
    rng = np.random.default_rng(5)
    trajectory, drivers = made_up.trajectory(rng, 24), made_up.drivers(rng, 24)
    theta = np.full((28, *made_up.BATCH), 0.5)
    pools = np.asarray(trajectory.pools).copy()
    pools[7, 4, 0, 0], pools[3, 0, 0, 1], pools[9, 5, 0, 2] = -0.01, -1e-9, np.nan
    found = margins(
        theta, trajectory._replace(pools=jnp.asarray(pools)), drivers, Switches(constraints="none")
    )
    ok = np.ones(made_up.BATCH, bool)
    ok[0, :3] = False
    np.testing.assert_array_equal(hard_pass(found), ok)
    assert found.static.shape == (0, *made_up.BATCH)
    assert (np.asarray(log_penalty(found))[ok] > -1e-6).all()
    assert float(log_penalty(found)[0, 1]) < -1e4


def test_absolute_form_lets_a_change_of_sign_pass() -> None:
    rng = np.random.default_rng(1)
    trajectory, drivers = made_up.trajectory(rng, 24, disturbed=False), made_up.drivers(rng, 24)
    days = jnp.ones((24, 1, 1))
    wood = jnp.where(jnp.arange(24)[:, None, None] < 12, 1.2, 1 / 1.2) * jnp.ones((24, *made_up.BATCH))
    fluxes = trajectory.fluxes._replace(to_wood=wood, wood_turnover=jnp.ones_like(wood))
    at = (0, 0)
    theta = np.full((28, *made_up.BATCH), 0.5)
    for form, passes in (("absolute", True), ("difference", False)):
        found = margins(
            theta, Trajectory(trajectory.pools, fluxes), replace(drivers, dt=days), Switches(steady=form)
        )
        named = by_name(found, at)
        assert (max(named["D3 wood low"], named["D3 wood high"]) <= 0) is passes


def test_switches_leave_out_what_they_say() -> None:
    rng = np.random.default_rng(2)
    trajectory, drivers = made_up.trajectory(rng, 24), made_up.drivers(rng, 24)
    theta = np.full((28, *made_up.BATCH), 0.5)
    for switches, kinds in (
        (Switches(balance=False, steady="none"), {"D1", "D4"}),
        (Switches(steady="none"), {"D1", "D2", "D4"}),
        (Switches(balance=False), {"D1", "D3", "D4"}),
        (Switches(balance=False, steady="ratio2022"), {"D1", "D3", "D4"}),
        (Switches(steady="none", photosynthesis="acm2"), {"D1", "D2", "D4", "D5"}),
    ):
        found = margins(theta, trajectory, drivers, switches)
        assert {name.split()[0] for name in found.dynamic_names} == kinds


@pytest.mark.parametrize("switches", [Switches(), Switches(constraints="b15")])
def test_short_runs_are_refused(switches: Switches) -> None:
    rng = np.random.default_rng(2)
    trajectory, drivers = made_up.trajectory(rng, 20), made_up.drivers(rng, 20)
    with pytest.raises(ConfigError, match="the run has 20 steps"):
        margins(np.full((28, *made_up.BATCH), 0.5), trajectory, drivers, switches)


def test_window_of_the_balance() -> None:
    assert [balance_window(n) for n in (24, 35, 36, 228)] == [(0, 24), (0, 35), (24, 36), (24, 228)]


values = st.lists(st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3) | st.just(0.0), min_size=4, max_size=4)


@given(values)
def test_penalty_becomes_the_verdict_as_scales_shrink(x: list[float]) -> None:
    found = Margins(jnp.array(x[:1]), jnp.array(x[1:]), ("S1",), tuple(f"D3 {i}" for i in x[1:]))
    found = jax.tree.map(lambda a: a[:, None], found)
    penalty = float(log_penalty(found, Scales(1e-5, 1e-5, 1e-5))[0])
    at_limit = sum(v == 0 for v in x)
    if bool(hard_pass(found)[0]):
        assert penalty == pytest.approx(-at_limit * np.log(2), abs=1e-9)
    else:
        assert penalty < -50
    assert int(n_failed(found)[0]) == sum(v > 0 for v in x)


def test_penalty_uses_the_scale_of_each_group() -> None:
    x = jnp.array([[0.02], [0.02], [0.02], [0.02]])
    found = Margins(x[:1], x[1:], ("S1",), ("D2 wood high", "D3 wood high", "J steady som low"))
    expected = sum(-np.log1p(np.exp(0.02 / s)) for s in (0.1, 0.2, 0.05, 0.05))
    assert float(log_penalty(found, Scales(0.1, 0.2, 0.05))[0]) == pytest.approx(expected, rel=1e-12)


def test_gradient_of_the_penalty() -> None:
    rng = np.random.default_rng(11)
    drivers = made_up.drivers(rng, 24)
    theta = jnp.asarray(draw_prior(rng, 60, Switches()).reshape(-1, *made_up.BATCH))
    switches = Switches(steady="absolute")
    direction = 0.1 * rng.normal(size=theta.shape)

    def penalty(step: jax.Array) -> jax.Array:
        moved = theta * jnp.exp(step * direction)
        found = margins(moved, simulate(moved, drivers, switches), drivers, switches, ROUNDING)
        return log_penalty(found, Scales(0.3, 0.3, 0.3)).sum()

    h = 1e-5
    rise, value = jax.jit(jax.value_and_grad(penalty)), lambda x: rise(x)[0]
    slope = (value(h) - value(-h)) / (2 * h)
    assert float(rise(0.0)[1]) == pytest.approx(float(slope), rel=1e-5)


def test_totals_by_stocks_are_those_of_fluxes() -> None:
    """Of a run with fires: what entered and did not stay has left."""
    rng = np.random.default_rng(12)
    drivers = made_up.drivers(rng, 36)
    drivers = dataclasses.replace(drivers, burned=0.02 + 0.0 * drivers.burned, losses=False)
    theta = jnp.asarray(draw_prior(rng, 60, Switches()).reshape(-1, *made_up.BATCH))
    trajectory = simulate(theta, drivers, Switches())
    assert float(trajectory.fluxes.fire.max()) > 0
    windows = [(0, 12), (12, 36)]
    by_flux = pool_totals(trajectory, drivers, windows)
    by_stock = totals_by_stocks(theta, Switches(), trajectory, drivers, windows)
    for one, other in zip(by_flux, by_stock, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-7)
