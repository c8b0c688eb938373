"""Land carbon against NBP: exact stores close, and each wrong sign, unit or pool is told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.ensembles.closure import closure, misfit, require_closed, require_signs
from talik.errors import ConfigError, CoverageError, UnitsError
from talik.flux import mass_ratio

YEARS = 60
UNITS = dict.fromkeys(("cSoil", "cLitter", "cLand", "cVeg", "cProduct"), "Pg")


def rows(model, variable, values, *, first=1980, region="North", scenario="historical", units=None):
    """A run's annual values of one variable as rows of a member table."""
    values = np.atleast_1d(np.asarray(values, float))
    return pd.DataFrame(
        {
            "model": model,
            "region": region,
            "scenario": scenario,
            "year": first + np.arange(len(values)),
            "variable": variable,
            "value": values,
            "units": units or UNITS.get(variable, "Pg year-1"),
        }
    )


def fluxes(seed=0):
    """NPP, SHR, fire, land use and NBP of a run, Pg a year, constant within each year."""
    rng = np.random.default_rng(seed)
    npp = 5.0 + 0.01 * np.arange(YEARS) + 0.3 * rng.standard_normal(YEARS)
    rh = 4.2 + 0.005 * np.arange(YEARS) + 0.1 * rng.standard_normal(YEARS)
    fire = 0.3 + 0.05 * rng.standard_normal(YEARS)
    luc = 0.2 + 0.02 * rng.standard_normal(YEARS)
    return {"npp": npp, "rh": rh, "fFire": fire, "fLuc": luc, "nbp": npp - rh - fire - luc}


def annual_mean(flux, start=100.0):
    """Mean over each year of a store that gains `flux`, by fine integration in 400 steps a year."""
    steps = 400
    fine = start + np.cumsum(np.repeat(flux / steps, steps))
    middle = fine - np.repeat(flux / steps, steps) / 2
    return middle.reshape(-1, steps).mean(axis=1)


def year_end(flux, start=100.0):
    return start + np.cumsum(flux)


def run(values, model="M"):
    return pd.concat([rows(model, name, v) for name, v in values.items()], ignore_index=True)


def judged(values, **settings):
    found = closure(run(values), **settings)
    assert len(found) == 1
    return found.iloc[0]


def test_annual_means_close_to_rounding():
    f = fluxes()
    found = misfit(annual_mean(f["nbp"]), f["nbp"])
    assert found.years == YEARS - 1
    assert abs(found.misfit) < 1e-12
    assert found.r == pytest.approx(1.0)
    row = judged({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"])})
    assert (row["verdict"], row["reason"]) == ("closes", "")
    require_signs(closure(run({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"])})))


def test_year_end_stores_close_with_their_stamp():
    f = fluxes()
    found = misfit(year_end(f["nbp"]), f["nbp"], stamp="end")
    assert abs(found.misfit) < 1e-12
    assert found.ratio == pytest.approx(1.0)
    assert misfit(year_end(f["nbp"]), f["nbp"]).r < 0.95


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(-3.0, 3.0), st.floats(0.01, 100.0))
def test_the_misfit_is_the_flux_that_is_missing(seed, missing, scale):
    f = fluxes(seed)["nbp"] * scale
    found = misfit(annual_mean(f + missing), f)
    assert found.misfit == pytest.approx(missing, abs=1e-9 * scale + 1e-9)


def test_a_flipped_sign_is_caught():
    f = fluxes()
    row = judged({"nbp": -f["nbp"], "cLand": annual_mean(f["nbp"])})
    assert row["verdict"] == "does not close"
    assert row["reason"] == "sign: nbp is positive up"
    with pytest.raises(UnitsError, match=r"M, North, historical: sign: nbp is positive up.*1 of 1 runs"):
        require_signs(closure(run({"nbp": -f["nbp"], "cLand": annual_mean(f["nbp"])})))


def test_a_flipped_sign_is_caught_where_the_mean_is_near_zero():
    nbp = fluxes()["nbp"]
    nbp = nbp - nbp.mean()  # the misfit of the mean alone would see nothing
    row = judged({"nbp": -nbp, "cLand": annual_mean(nbp)})
    assert row["reason"] == "sign: nbp is positive up"


def test_mass_of_co2_is_caught():
    f = fluxes()
    as_co2 = f["nbp"] * mass_ratio("C", "CO2")
    row = judged({"nbp": as_co2, "cLand": annual_mean(f["nbp"])})
    assert row["reason"] == "units: nbp counts mass of CO2, the stores of C"
    row = judged({"nbp": f["nbp"] / 1000.0, "cLand": annual_mean(f["nbp"])})
    assert row["reason"] == "units: yearly changes are 1e+03 times nbp"


def test_forgotten_product_pools_are_named():
    f = fluxes()
    products = annual_mean(0.4 * f["fLuc"] + 0.3, 5.0)
    whole = annual_mean(f["nbp"])
    row = judged({"nbp": f["nbp"], "cLand": whole - products, "cProduct": products})
    assert row["reason"] == "stores: cLand leaves out the product pools"


def test_a_sum_of_pools_where_there_is_no_land_carbon():
    f = fluxes()
    veg = annual_mean(0.5 * f["nbp"], 40.0)
    soil = annual_mean(0.3 * f["nbp"], 200.0)
    litter = annual_mean(0.2 * f["nbp"], 10.0)
    row = judged({"nbp": f["nbp"], "cVeg": veg, "cSoil": soil, "cLitter": litter})
    assert (row["verdict"], row["store"]) == ("closes", "cVeg + cSoil + cLitter")
    wrong = annual_mean(0.6 * f["nbp"], 200.0)
    row = judged({"nbp": f["nbp"], "cVeg": veg, "cSoil": wrong, "cLitter": annual_mean(0.4 * f["nbp"], 10.0)})
    assert row["verdict"] == "does not close"


def test_nbp_that_is_something_else_is_named():
    f = fluxes()
    nep = f["npp"] - f["rh"]
    base = {k: f[k] for k in ("npp", "rh")}
    row = judged(base | {"nbp": f["nbp"], "cLand": annual_mean(nep)})
    assert row["reason"] == "flux: stores follow npp - rh; nbp counts losses that they do not"
    row = judged({"nbp": nep - f["fFire"], "fLuc": f["fLuc"], "cLand": annual_mean(f["nbp"])})
    assert row["reason"] == "flux: closes with nbp - fLuc; nbp leaves out land-use change"
    row = judged({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"] + 0.2)})
    assert row["reason"].startswith("steady: yearly changes follow nbp, but stores gain more")


def test_what_cannot_be_checked_is_said():
    f = fluxes()
    store = annual_mean(f["nbp"])
    table = pd.concat(
        [
            run({"cLand": store}, "no nbp"),
            run({"nbp": f["nbp"], "cVeg": store}, "no soil"),
            run({"nbp": f["nbp"][:5], "cLand": store[:5]}, "short"),
            run({"nbp": f["nbp"], "cLand": store}, "good"),
        ]
    )
    found = closure(table).set_index("model")
    assert found["verdict"].to_dict() == {
        "no nbp": "cannot be checked",
        "no soil": "cannot be checked",
        "short": "cannot be checked",
        "good": "closes",
    }
    assert found.loc["no soil", "reason"] == "no cLand, and no cVeg or cSoil"
    assert found.loc["short", "reason"] == "only 4 pairs of years"


def test_a_hole_in_the_years_counts_for_nothing():
    f = fluxes()
    table = run({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"])})
    found = closure(table[table["year"] != 2000]).iloc[0]
    assert found["years"] == YEARS - 3
    assert abs(found["misfit"]) < 1e-12


def test_densities_beside_totals_are_not_mixed_in():
    f = fluxes()
    table = run({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"] + 0.2)})
    luc = rows("M", "fLuc", np.full(YEARS, -0.2), units="kg m-2 s-1")
    assert closure(pd.concat([table, luc])).iloc[0]["reason"].startswith("steady")


def test_requirements_and_settings():
    f = fluxes()
    good = run({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"])}, "good")
    bad = run({"nbp": f["nbp"], "cLand": annual_mean(f["nbp"] + 0.3)}, "bad")
    found = closure(pd.concat([good, bad]))
    assert list(found["model"]) == ["bad", "good"]
    with pytest.raises(CoverageError, match=r"1 of 2 runs do not close.*bad \(steady"):
        require_closed(found)
    require_closed(found, most=0.5)
    with pytest.raises(UnitsError, match="cLand is in 'Tg' and nbp in 'Pg year-1'"):
        closure(good.assign(units=good["units"].replace({"Pg": "Tg"})))
    with pytest.raises(ConfigError, match="stamp is 'start'"):
        closure(good, stamp="start")
