"""Members of pixels: what is refused, and the ratios of each member."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.fusion.products import half_degree, made_up

from talik.errors import InputError
from talik.fusion.ensemble import (
    carbon_use_efficiency,
    derived_fluxes,
    leaf_area,
    residence_time,
)
from talik.fusion.parameters import P


@pytest.fixture(scope="module")
def vector(shared: Path) -> pd.DataFrame:
    table = pd.read_csv(shared / "spec" / "fusion_testvector.csv")
    table = table.assign(value=pd.to_numeric(table["value"], errors="coerce"))  # constraints hold words
    return table.set_index(["case", "group", "name", "step"]).sort_index()


def series(vector: pd.DataFrame, case: str, name: str) -> np.ndarray:
    return vector.loc[(case, "output", name)].sort_index()["value"].to_numpy()[:, None, None]


@pytest.mark.parametrize("case", ["A", "B", "C"])
def test_use_efficiency_and_fluxes_are_those_of_the_test_vector(vector: pd.DataFrame, case: str):
    days = vector.loc[("ALL", "driver", "dt")].sort_index()["value"].to_numpy()
    gpp, ra, fire = (series(vector, case, name) for name in ("GPP", "Ra", "Fire"))
    rh = series(vector, case, "Rh_litter") + series(vector, case, "Rh_som")
    found = derived_fluxes(gpp, ra, rh, fire)
    np.testing.assert_allclose(found["nee"], series(vector, case, "NEE"), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found["nbe"], series(vector, case, "NBE"), rtol=2e-5, atol=2e-5)
    expected = vector.loc[(case, "summary", "CUE", 0), "value"]
    assert carbon_use_efficiency(found["npp"], gpp, days)[0, 0] == pytest.approx(expected, rel=1e-5)


def test_residence_time_is_that_of_the_test_vector(vector: pd.DataFrame):
    """Litter and SOM between months 0, 12 and 24 are taken on straight lines: they vary by 2 %."""
    days = vector.loc[("ALL", "driver", "dt")].sort_index()["value"].to_numpy()
    rh = series(vector, "A", "Rh_litter") + series(vector, "A", "Rh_som")
    rows = {
        step: [vector.loc[("A", group, f"C_{pool}", at), "value"] for pool in ("lit", "som")]
        for step, group, at in ((12, "pool_month12_end", 13), (24, "final_pool", 25))
    }
    pools = np.zeros((25, 6, 1, 1))
    for k, start in enumerate((180.0, 16000.0)):
        known = [start, rows[12][k], rows[24][k]]
        pools[:, 4 + k, 0, 0] = np.interp(np.arange(25), [0, 12, 24], known)
    expected = vector.loc[("A", "summary", "MRT_SHR", 0), "value"]
    assert residence_time(pools, rh, days)[0, 0] == pytest.approx(expected, rel=0.003)


def test_residence_time_of_a_steady_pool_is_its_stock_over_a_year_of_loss():
    days = np.tile([31.0, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], 3)
    pools = np.zeros((37, 6, 1, 2))
    pools[:, 4], pools[:, 5] = 365.25, 9 * 365.25
    rh = np.stack([np.full((36, 1), 0.5), np.full((36, 1), 2.0)], axis=-1)
    np.testing.assert_allclose(residence_time(pools, rh, days), [[20.0, 5.0]])


def test_leaf_area_is_mean_foliage_over_leaf_mass():
    found = made_up(*half_degree(1, 2), members=3, years=1)
    lai = leaf_area(found.pools, found.parameters)
    mean = (found.pools[4, 1, 1, 2] + found.pools[5, 1, 1, 2]) / 2
    assert lai[4, 1, 2] == pytest.approx(mean / found.parameters[1, 2, P.LCMA])


def test_a_pixel_with_half_its_numbers_is_refused():
    found = made_up(*half_degree(1, 3), members=4, years=1)
    rh = found.fluxes["rh"].copy()
    rh[3, 1, 2] = np.nan
    with pytest.raises(InputError, match="pixel p1 has only some of its numbers"):
        replace(found, fluxes={**found.fluxes, "rh": rh})


def test_shapes_months_and_reasons_are_checked():
    found = made_up(*half_degree(1, 3), members=4, years=1, unconverged=(2,))
    with pytest.raises(InputError, match=r"mrt has shape \(3, 3\); expected \(3, 4\)"):
        replace(found, mrt=found.mrt[:, :3])
    with pytest.raises(InputError, match="2001-03 follows 2001-01"):
        replace(found, months=np.array([1, *range(3, 14)]))
    with pytest.raises(InputError, match="pixel p2 has not converged and gives no reason"):
        replace(found, reason=("", "", ""))
    with pytest.raises(InputError, match="expected gpp, ra, rh"):
        replace(found, fluxes={"gpp": found.fluxes["gpp"]})
    gone = made_up(*half_degree(1, 3), members=4, years=1, failed=(0,))
    told = {**gone.diagnostics, "map_quality": np.array([True, True, True])}
    with pytest.raises(InputError, match="p0 is said to have converged and has no members"):
        replace(gone, diagnostics=told)
