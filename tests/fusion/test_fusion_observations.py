"""Errors of observations, and how products become streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from talik.errors import InputError
from talik.fusion.observation_errors import (
    NbeError,
    StreamError,
    TowerError,
    lai_sd,
    nbe_sd,
    pixel_mean,
    soc_sd,
    wood_from_agb,
    wood_sd,
)
from talik.fusion.observations import nbe_stream, stream

NAN = np.nan


def test_sd_of_lai_has_a_floor_and_a_tenth_of_the_mean() -> None:
    lai = np.array([[1.0, 4.0, NAN], [NAN, 8.0, NAN], [3.0, 6.0, NAN]])
    sd = np.array([[0.1, 0.8, NAN], [NAN, 0.8, NAN], [0.4, 0.1, NAN]])
    expected = np.array([[0.25, 1.0, NAN], [NAN, 1.0, NAN], [np.sqrt(0.2), np.sqrt(0.37), NAN]])
    np.testing.assert_allclose(lai_sd(lai, sd), expected, rtol=1e-12)


def test_sd_of_wood_and_nbe_and_soc() -> None:
    wood = np.array([[300.0, 4000.0], [500.0, 6000.0]])
    sd = np.array([[50.0, 1200.0], [120.0, 0.0]])
    np.testing.assert_allclose(wood_sd(wood, sd), [[100.0, 1300.0], [np.sqrt(16000.0), 500.0]])
    np.testing.assert_allclose(nbe_sd(np.array([0.0, 0.75, NAN])), [1.0, 1.25, NAN])
    carbon = np.array([1000.0, 15000.0, NAN])
    np.testing.assert_allclose(soc_sd(carbon, 1), [1000.0, 3525.0, NAN])
    np.testing.assert_allclose(soc_sd(carbon, 3), [1000.0, 7050.0, NAN])


def test_mean_of_a_pixel_leaves_out_what_is_missing() -> None:
    np.testing.assert_array_equal(pixel_mean(np.array([[1.0, NAN], [NAN, NAN], [4.0, NAN]])), [2.5, NAN])


def test_wood_from_biomass() -> None:
    agb, sd = np.array([100.0]), np.array([30.0])
    wood, as_biomass = wood_from_agb(agb, sd, "biomass")
    assert wood[0] == pytest.approx(0.48 * 100 * (100 + 0.489 * 100**0.89))
    assert as_biomass[0] == pytest.approx(0.48 * 100 * (30 + 0.489 * 30**0.89))
    _, small = wood_from_agb(agb, sd * 1e-3, "delta")
    draws = np.random.default_rng(4).normal(agb, sd * 1e-3, 400_000)
    assert small[0] == pytest.approx(wood_from_agb(draws, draws, "biomass")[0].std(), rel=0.005)
    assert np.isfinite(wood_from_agb(np.array([0.0]), sd, "delta")[1][0])


def test_tower_errors_and_their_factor() -> None:
    flux = np.array([0.0, -3.0, 3.0])
    error = TowerError()
    np.testing.assert_allclose(error.nee_sd(flux), [0.2, np.hypot(0.2, 0.6), np.hypot(0.2, 0.6)])
    np.testing.assert_allclose(error.gpp_sd(flux), [0.3, np.hypot(0.3, 0.45), np.hypot(0.3, 0.45)])
    for factor in (0.5, 2.0):
        np.testing.assert_allclose(TowerError(factor=factor).nee_sd(flux), factor * error.nee_sd(flux))
        np.testing.assert_allclose(TowerError(factor=factor).gpp_sd(flux), factor * error.gpp_sd(flux))


@pytest.mark.parametrize("bad", [{"rho": 1.0}, {"rho": -0.1}, {"annual_floor": 0.0}, {"ro": 0.2}])
def test_settings_are_strict(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        NbeError(**bad)


def test_stream_marks_what_is_seen() -> None:
    value, sd = np.array([[1.0, NAN], [3.0, 0.5]]), np.array([[0.3, NAN], [0.6, 0.1]])
    normal = stream("lai", value, sd)
    np.testing.assert_array_equal(normal.seen, [[True, False], [True, True]])
    np.testing.assert_array_equal(normal.sd, [[0.3, 1.0], [0.6, 0.1]])
    relative = stream("lai", value, sd, StreamError(error="lognormal"))
    assert relative.log
    np.testing.assert_allclose(relative.sd, [[0.3, 1.0], [0.2, 0.2]])
    factor = stream("lai", value, sd, StreamError(error="lognormal", factor=2.0))
    np.testing.assert_allclose(np.asarray(factor.sd)[normal.seen], np.log(2.0))


def test_broken_streams_name_their_pixels() -> None:
    value, sd = np.ones((3, 4)), np.ones((3, 4))
    sd[1, 2], sd[0, 3] = 0.0, NAN
    with pytest.raises(
        InputError, match=r"gpp: 2 sd\(s\) of 0, less or missing in pixel\(s\) 2, 3 of the block"
    ):
        stream("gpp", value, sd)
    value[2, 1] = -0.1
    with pytest.raises(InputError, match=r"lai: 1 value\(s\) of 0 or less in pixel\(s\) 1 of the block"):
        stream("lai", value, np.ones((3, 4)), StreamError(error="lognormal"))
    with pytest.raises(InputError, match=r"values are \(3, 4\), their sd \(4, 3\)"):
        stream("lai", value, sd.T)


def test_nbe_refuses_gaps_in_time_and_annual_errors_that_do_not_fit() -> None:
    years, months = np.array([2001] * 3), np.array([1, 2, 4])
    with pytest.raises(InputError, match="one step a month"):
        nbe_stream(np.ones((3, 2)), np.ones((3, 2)), years, months, "plain")
    months = np.array([1, 2, 3])
    annual = np.array([[0.1, 0.0]])
    with pytest.raises(InputError, match=r"nbe: 1 annual sd\(s\) of 0.* pixel\(s\) 1 "):
        nbe_stream(np.ones((3, 2)), np.ones((3, 2)), years, months, "two-scale", annual)
    with pytest.raises(InputError, match=r"the annual sd is \(2,\); expected \(year, pixel\), \(1, 2\)"):
        nbe_stream(np.ones((3, 2)), np.ones((3, 2)), years, months, "two-scale", np.ones(2))


@given(
    st.sampled_from(["plain", "reference", "two-scale"]), st.integers(1, 12), st.integers(1, 30), st.data()
)
def test_months_without_observations_have_no_weight(
    form: str, first: int, steps: int, data: st.DataObject
) -> None:
    seen = data.draw(st.lists(st.booleans(), min_size=steps, max_size=steps))
    number = 12 * 2001 + first - 1 + np.arange(steps)
    value = np.where(seen, 0.3, NAN)[:, None]
    found = nbe_stream(value, np.full((steps, 1), 0.7), number // 12, number % 12 + 1, form)
    weight = np.einsum("yijp,yikp->yjkp", found.whitening, found.whitening)
    place = first - 1 + np.flatnonzero(seen)
    used = np.zeros(12 * len(found.value), bool)
    used[place] = True
    diagonal = np.einsum("yjjp->yjp", weight).ravel()
    assert (diagonal[used] > 0).all()
    np.testing.assert_allclose(diagonal[~used], 0.0, atol=1e-12)
    assert found.n[0] == sum(seen)
