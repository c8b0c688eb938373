"""Plants against check values and a slow copy of the rules that couple carbon and nitrogen; the parameter table."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.tem import vegetation
from talik.tem.communities import (
    COMMUNITIES,
    TABLE,
    VEGETATION_TYPES,
    Parameters,
    communities_of,
    parameters_for,
)

TUNDRA, WET, BOREAL = COMMUNITIES[:3]


def test_the_table_is_complete_and_states_unit_and_source() -> None:
    assert tuple(row.name for row in TABLE) == Parameters._fields
    assert all(row.unit and row.meaning and row.source and len(row.values) == 7 for row in TABLE)


def test_parameters_are_gathered_by_name_or_index() -> None:
    by_name = parameters_for([BOREAL, TUNDRA])
    by_index = parameters_for(np.array([2, 0]))
    assert by_name.cneven.tolist() == by_index.cneven.tolist() == [52.38, 32.50]
    with pytest.raises(InputError, match=r"unknown communities \['taiga'\]"):
        parameters_for(["taiga"])
    with pytest.raises(InputError, match=r"run 2\.\.7"):
        parameters_for(np.array([2, 7]))


def test_vegetation_types_have_shares_that_add_up() -> None:
    for number, parts in VEGETATION_TYPES.items():
        assert sum(share for _, share in parts) == (0.0 if number == 1 else 1.0)
        assert {name for name, _ in parts} <= set(COMMUNITIES)
    assert communities_of(6) == ((BOREAL, 0.5), (WET, 0.5))
    with pytest.raises(InputError, match="vegetation type 17"):
        communities_of(17)


@pytest.mark.parametrize(
    ("community", "cmax", "nmax", "maintenance", "c_v"),
    [
        (TUNDRA, 404.7, 35.7, 0.01051, 478.2),
        (WET, 726.6, 73.4, 0.01140, 821.8),
        (BOREAL, 723.6, 342.2, 0.00203, 10089.1),
    ],
)
def test_derived_rates_at_the_texture_of_the_reference(
    community: str, cmax: float, nmax: float, maintenance: float, c_v: float
) -> None:
    q, p = parameters_for([community]), jnp.array([0.55])
    assert float(vegetation.maximum_assimilation(q, p)[0]) == pytest.approx(cmax, abs=0.051)
    assert float(vegetation.maximum_uptake(q, p)[0]) == pytest.approx(nmax, abs=0.051)
    assert float(q.c_v_slope[0] * 0.55 + q.c_v_offset[0]) == pytest.approx(c_v, abs=0.1)
    assert float(jnp.exp(q.kra * c_v + q.krb)[0]) == pytest.approx(maintenance, abs=6e-6)


def test_a_fine_soil_takes_the_other_branch() -> None:
    q = parameters_for(["xeric_shrub"] * 2)
    found = vegetation.maximum_assimilation(q, jnp.array([0.35, 0.36]))
    np.testing.assert_allclose(found, [526.67 * 0.35 + 247.67, -23.857 * 0.36 + 441.09])


def test_respiration_factor_check_values() -> None:
    found = jnp.exp(vegetation.log_respiration_factor(jnp.array([-20.0, -10.0, 0.0, 10.0, 20.0])))
    np.testing.assert_allclose(found, [0.0453, 0.3158, 1.0, 2.0232, 3.6864], atol=6e-5)
    q10 = 2.35665 + 0.053077 * 50 + 0.0023842 * 2500 + 0.0000411 * 125000
    assert float(jnp.exp(vegetation.log_respiration_factor(jnp.array(-60.0)))) == pytest.approx(q10**-6.0)
    assert np.isfinite(float(vegetation.log_respiration_factor(jnp.array(70.0))))


def test_temperature_factor_has_a_plateau_and_ends() -> None:
    q = parameters_for([BOREAL] * 7)
    t = jnp.array([-8.0, 29.0, 40.0, 16.0, 22.4, 5.0, 26.0])
    found = vegetation.temperature_factor(t, jnp.full(7, 15.0), q)
    low = (5 + 8) * (5 - 29) / ((5 + 8) * (5 - 29) - (5 - 15) ** 2)
    high = (26 + 8) * (26 - 29) / ((26 + 8) * (26 - 29) - (26 - 22.4) ** 2)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.0, 1.0, 1.0, low, high], rtol=1e-12)


def test_conductance_is_continuous() -> None:
    r = jnp.array([0.0, 0.1, 0.1 + 1e-9, 1.0])
    np.testing.assert_allclose(vegetation.conductance(r), [0.0, 0.19, 0.19, 1.0], rtol=1e-7)


def test_leaves() -> None:
    q = parameters_for([BOREAL])
    by_hand = 0.42893 * 40 / 80 + 0.33295 * 0.6 + 0.32228
    assert float(vegetation.leaf_phenology(jnp.array([40.0]), 80.0, 0.6, q)[0]) == pytest.approx(by_hand)
    assert float(vegetation.leaf_phenology(jnp.array([-400.0]), 80.0, 0.6, q)[0]) == 0.25
    canopy = 1 / (1 + 1.6662 * np.exp(-0.000567 * 9000))
    assert float(vegetation.foliage(jnp.array([9000.0]), q)[0]) == pytest.approx(canopy)
    found = vegetation.leaf_area_index(jnp.array([9000.0]), 0.8, q)
    assert float(found[0]) == pytest.approx(0.0077 * 287.0 * canopy * 0.8)


def slow_growth(
    potential: float, capacity: float, pools: tuple[float, float, float], litter_n: float, resorbed: float
) -> dict[str, float]:
    """The rules in the order in which they are published, scalar, with the rational curve of uptake."""
    c_v, n_vs, n_vl = pools
    cn, cn_res, least, room = 40.0, 60.0, 0.0, 0.2
    q = potential / (max(capacity, 1e-6) + n_vl)
    if q > cn:
        npp = max(0.0, cn * (capacity + n_vl))
        return {"npp": npp, "uptake": capacity, "structural": capacity, "mobilised": n_vl}
    npp = potential
    product = (q - least) * (q - 2 * cn + least)
    uptake = max(0.0, capacity * product / (product - (q - cn) ** 2))
    if n_vl >= npp / cn:
        mobilised = npp / cn * (1.0 if npp >= 0 else n_vs / c_v * cn_res)
        structural = 0.0
    else:
        mobilised = n_vl
        structural = min(max(npp / cn - mobilised, 0.0), uptake)
    store = n_vl + resorbed - mobilised
    full = room * (n_vs + structural - litter_n - resorbed + mobilised)
    stored = uptake - structural
    if not store + stored < full:
        stored = max(0.0, full - store)
    return {"npp": npp, "uptake": structural + stored, "structural": structural, "mobilised": mobilised}


@settings(deadline=None)
@given(
    st.floats(-20.0, 150.0),
    st.floats(0.0, 3.0),
    st.floats(0.0, 3.0),
    st.floats(1.0, 20.0),
    st.floats(0.0, 0.3),
    st.floats(0.0, 0.3),
)
def test_growth_is_the_slow_one(
    potential: float, capacity: float, n_vl: float, n_vs: float, litter_n: float, resorbed: float
) -> None:
    c_v = 600.0
    cn = tuple(jnp.array(x) for x in (40.0, 60.0, 0.0))
    growth = vegetation.grow(*(jnp.array(x) for x in (potential, capacity, n_vl, n_vs / c_v)), cn)
    stored = vegetation.labile_uptake(growth, n_vl, n_vs - litter_n, resorbed, 0.2)
    found = {
        "npp": float(growth.npp),
        "uptake": float(growth.structural + stored),
        "structural": float(growth.structural),
        "mobilised": float(growth.mobilised),
    }
    expected = slow_growth(potential, capacity, (c_v, n_vs, n_vl), litter_n, resorbed)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(st.floats(0.0, 400.0), st.floats(0.0, 100.0))
def test_growth_respiration_is_a_fifth_of_what_is_left(gpp: float, maintenance: float) -> None:
    npp = vegetation.net_of_respiration(jnp.array(gpp), maintenance)
    growth = float(vegetation.growth_respiration(npp))
    assert growth == pytest.approx(0.2 * max(gpp - maintenance, 0.0), abs=1e-12)
    assert float(npp) == pytest.approx(gpp - maintenance - growth, abs=1e-10)


def test_litter_and_resorption_by_hand() -> None:
    assert float(vegetation.nitrogen_litter(10.0, jnp.array(8.0), 0.005, 40.0)) == pytest.approx(0.05)
    assert float(vegetation.nitrogen_litter(100.0, jnp.array(8.0), 0.005, 40.0)) == pytest.approx(0.2)
    found = vegetation.resorption(jnp.array(8.0), 0.05, 10.0 / 600.0, 40.0, 60.0)
    assert float(found) == pytest.approx((8.0 / 40.0 - 0.05) * (10.0 / 600.0) * 60.0)
