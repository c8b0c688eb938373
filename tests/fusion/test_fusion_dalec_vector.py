"""DALEC against numbers of the public reference code (test vector of the specification)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from talik.fusion import acm1, acm2
from talik.fusion.dalec import simulate
from talik.fusion.drivers import Drivers
from talik.fusion.outputs import period_outputs
from talik.fusion.parameters import P
from talik.fusion.phenology import fall, onset, sines
from talik.fusion.switches import Switches
from talik.fusion.trajectory import Trajectory

AS_REFERENCE = Switches(winter_stop=False, som_burnt="profile")
POOL_NAMES = ("C_lab", "C_fol", "C_root", "C_wood", "C_lit", "C_som")
DIGITS = 6


def assert_agrees(got: object, expected: np.ndarray, case: str = "A") -> None:
    """Equal to the printed digits (half a unit of the sixth); case C and U2 to 5e-5, as the reference itself."""
    expected = np.asarray(expected)
    if case in ("C", "U2"):
        np.testing.assert_allclose(got, expected, rtol=5e-5, atol=1e-12)
        return
    size = np.abs(np.where(expected == 0, 1e-12, expected))
    unit = 10.0 ** (np.floor(np.log10(size)) - DIGITS + 1)
    np.testing.assert_array_less(np.abs(np.asarray(got) - expected) / unit, 0.51)


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.DataFrame:
    rows = pd.read_csv(shared / "spec" / "fusion_testvector.csv", dtype={"value": str})
    rows = rows[rows["group"] != "prior"].astype({"value": float})  # the only cells of two numbers
    return rows.set_index(["case", "group", "name", "step"]).sort_index()["value"]


def column(table: pd.Series, case: str, group: str, name: str) -> np.ndarray:
    return table.loc[(case, group, name)].sort_index().to_numpy()


def drivers_of(table: pd.Series, case: str) -> Drivers:
    names = ("dt", "doy_end", "tmin", "tmax", "sw", "co2", "vpd", "wind")
    loss, burned = (column(table, case, "driver", name) for name in ("loss", "burn"))
    return Drivers(
        **{name: column(table, "ALL", "driver", name) for name in names},
        burned=burned,
        loss=loss,
        latitude=np.array(table[("ALL", "site", "latitude", 0)]),
        scenario=int(table[("ALL", "site", "harvest_scenario", 0)]),
        fires=bool(burned.any()),
        losses=bool(loss.any()),
    )


def theta_of(table: pd.Series) -> np.ndarray:
    return table.loc[("ALL", "param")].to_numpy()


@pytest.fixture(scope="module", params=["A", "B", "C"])
def run(request: pytest.FixtureRequest, table: pd.Series) -> tuple[str, Trajectory]:
    case = request.param
    switches = replace(AS_REFERENCE, photosynthesis="acm2" if case == "C" else "acm1")
    return case, jax.jit(simulate, static_argnames="switches")(
        theta_of(table), drivers_of(table, case), switches
    )


OUTPUTS: dict[str, Callable[[Trajectory], object]] = {
    "GPP": lambda t: t.fluxes.gpp,
    "Ra": lambda t: t.fluxes.ra,
    "Rh_litter": lambda t: t.fluxes.rh_litter,
    "Rh_som": lambda t: t.fluxes.rh_som,
    "NEE": lambda t: t.fluxes.nee,
    "Fire": lambda t: t.fluxes.fire,
    "NBE": lambda t: t.fluxes.nbe,
}
"""Of every step."""


@pytest.mark.parametrize("name", OUTPUTS)
def test_fluxes_of_every_step(table: pd.Series, run: tuple[str, Trajectory], name: str) -> None:
    case, result = run
    expected = column(table, case, "output", name)
    assert_agrees(OUTPUTS[name](result), expected, case)


def test_leaf_area(table: pd.Series, run: tuple[str, Trajectory]) -> None:
    case, result = run
    assert_agrees(
        result.pools[:-1, 1] / theta_of(table)[P.LCMA],
        column(table, case, "output", "LAI_start_of_step"),
        case,
    )


def test_pools(table: pd.Series, run: tuple[str, Trajectory]) -> None:
    case, result = run
    for row, group in ((12, "pool_month12_end"), (24, "final_pool")):
        expected = [table.loc[(case, group, name)].iloc[0] for name in POOL_NAMES]
        assert_agrees(result.pools[row], expected, case)


def test_acm1_alone(table: pd.Series) -> None:
    given = {
        n: column(table, "U1", "acm1_input", n)
        for n in ("lai", "tmin", "tmax", "sw", "co2", "doy_mid", "lat", "ceff")
    }
    zero = np.zeros_like(given["lai"])
    weather = Drivers(
        zero,
        given["doy_mid"],
        given["tmin"],
        given["tmax"],
        given["sw"],
        given["co2"],
        zero,
        zero,
        zero,
        zero,
        given["lat"],
    )
    got = jax.jit(lambda *x: acm1.gpp(acm1.sky(weather, stop=False), *x))(given["ceff"], given["lai"])
    assert_agrees(got, column(table, "U1", "acm1_output", "GPP"))


ACM2_NAMES = {
    "GPP": "gpp",
    "gs": "conductance",
    "gs_potential": "potential",
    "g_boundary": "boundary",
    "E_max": "supply",
    "APAR": "par",
    "SW_canopy": "shortwave",
    "LWnet_canopy": "longwave",
}


def test_acm2_alone(table: pd.Series) -> None:
    names = ("lai", "C_root", "tmin", "tmax", "sw", "co2", "doy_mid", "lat", "ceff", "wind", "vpd")
    given = {name: column(table, "U2", "acm2_input", name) for name in names}
    zero = np.zeros_like(given["lai"])
    weather = Drivers(
        zero,
        given["doy_mid"],
        given["tmin"],
        given["tmax"],
        given["sw"],
        given["co2"],
        given["vpd"],
        given["wind"],
        zero,
        zero,
        given["lat"],
    )
    leaves = jax.jit(lambda *x: acm2.canopy(acm2.sky(weather, stop=False), *x))(
        given["ceff"], given["lai"], given["C_root"]
    )
    for name, field in ACM2_NAMES.items():
        assert_agrees(getattr(leaves, field), column(table, "U2", "acm2_output", name), "U2")


def test_phenology(table: pd.Series) -> None:
    day = sines(drivers_of(table, "A").mid_day)
    assert_agrees(onset(theta_of(table)).rate(*day), column(table, "A", "output", "Phi_onset"))
    assert_agrees(fall(theta_of(table)).rate(*day), column(table, "A", "output", "Phi_fall"))


def test_annual_outputs(table: pd.Series, run: tuple[str, Trajectory]) -> None:
    case, result = run
    dt, years = drivers_of(table, case).dt, np.repeat([2001, 2002], 12)
    got = period_outputs(result, dt, years)
    for name, value in (("GPP", got.gpp), ("NEE", got.nee), ("Rh", got.rh), ("Fire", got.fire)):
        assert_agrees(value, table[(case, "summary", f"{name}_annual", 0)], case)
    assert_agrees(got.cue, table[(case, "summary", "CUE", 0)], case)
    assert_agrees(got.mrt, table[(case, "summary", "MRT_SHR", 0)], case)


def test_disturbance_by_pool(table: pd.Series, run: tuple[str, Trajectory]) -> None:
    case, result = run
    if case != "B":
        assert result.fluxes.emission is None
        assert result.fluxes.cut is None
        return
    fluxes, fire, loss = result.fluxes, 18, 8
    extracted = np.asarray(fluxes.cut[loss] - fluxes.residue[loss])

    def rows(group: str, names: tuple[str, ...]) -> np.ndarray:
        return np.array([table.loc[(case, group, name)].iloc[0] for name in names])

    assert_agrees(fluxes.emission[fire], rows("fire_emission", POOL_NAMES))
    assert_agrees(fluxes.mortality[fire], rows("fire_mortality", POOL_NAMES[:5]))
    assert_agrees(fluxes.residue[loss], rows("harvest_residue", POOL_NAMES[:4]))
    assert_agrees(extracted, rows("harvest_extracted", POOL_NAMES[:4]))
    assert_agrees(fluxes.som_loss[loss], rows("harvest_extracted", ("C_som",))[0])
    harvest = (fluxes.cut - fluxes.residue).sum(axis=1) + fluxes.som_loss
    assert_agrees(harvest, column(table, case, "output", "Harvest_extracted"))
