"""Forcing of emission series against AR6's own table, quadrature, and the published form of GWP*."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import integrate

from talik.budget.warming import (
    CO2_SHARE,
    CO2_YEARS,
    LIFETIME,
    agwp,
    forcing_per_kg,
    gwp_star,
    radiative_forcing,
)
from talik.errors import ConfigError


def remaining(gas: str, t: float) -> float:
    """Share of a pulse left after t years, written out."""
    if gas == "CO2":
        return sum(
            s * (1.0 if np.isinf(y) else np.exp(-t / y)) for s, y in zip(CO2_SHARE, CO2_YEARS, strict=True)
        )
    return float(np.exp(-t / LIFETIME[gas]))


def test_agwp_of_co2_is_ar6s(shared):
    """AR6 WG1 supplementary Table 7.SM.7, CO2 row."""
    with (shared / "data/ar6-gwp/gwp_co2_ch4_n2o.csv").open() as f:
        row = next(r for r in csv.DictReader(f) if r["Formula"] == "CO2")
    for years in (20, 100, 500):
        assert agwp("CO2", years) == pytest.approx(float(row[f"AGWP{years} (W m-2 yr kg-1)"]), rel=0.01)


@pytest.mark.parametrize(("gas", "factors"), [("CH4", (79.7, 27.0, 7.2)), ("N2O", (273, 273, 130))])
def test_pulse_ratios_come_near_the_assessed_factors(gas, factors):
    """AR6 adds carbon-cycle feedbacks and its own CO2 response; pulse ratios stay within -15 and +6 %."""
    for years, gwp in zip((20, 100, 500), factors, strict=True):
        ratio = agwp(gas, years) / agwp("CO2", years)
        assert 0.85 * gwp < ratio < 1.06 * gwp


@pytest.mark.parametrize("gas", ["CO2", "CH4", "N2O"])
def test_agwp_is_the_integral_of_what_is_left(gas):
    area = integrate.quad(lambda t: remaining(gas, t), 0, 80)[0]
    assert agwp(gas, 80.0) == pytest.approx(forcing_per_kg(gas) * area, rel=1e-10)


@pytest.mark.parametrize("gas", ["CO2", "CH4", "N2O"])
def test_forcing_of_a_series_against_double_quadrature(gas):
    """Emission of 2, 0, -1 Tg element a year; mean forcing in year 3 by integrating over both years."""
    flux = np.array([2.0, 0.0, -1.0])
    kg = {"CO2": 44.009 / 12.011, "CH4": 16.043 / 12.011, "N2O": 44.013 / 28.014}[gas] * 1e9
    expected = 0.0
    for year, f in enumerate(flux):
        value, _ = integrate.dblquad(
            lambda emitted, t: remaining(gas, t - emitted), 2, 3, year, lambda t, y=year: min(t, y + 1.0)
        )
        expected += f * kg * forcing_per_kg(gas) * value
    assert radiative_forcing(flux, gas)[2] == pytest.approx(expected, rel=1e-6)


def test_constant_methane_levels_off_and_constant_co2_does_not():
    forcing = radiative_forcing(np.ones((2, 300)), "CH4")
    assert forcing.shape == (2, 300)
    assert forcing[0, -1] / forcing[0, 149] == pytest.approx(1, abs=1e-4)
    co2 = radiative_forcing(np.ones(300), "CO2")
    assert co2[-1] > 1.5 * co2[149]


def test_gwp_star_has_the_published_coefficients():
    """Smith et al. 2021: E* = 4.53 E100(t) - 4.25 E100(t - 20), rounded there."""
    flux = np.zeros(40)
    flux[39] = 1.0
    per_unit = gwp_star(flux, 28.0)[39] / (16.043 / 44.009 * 28.0)
    assert per_unit == pytest.approx(4.53, abs=0.02)
    flux = np.zeros(40)
    flux[10] = 1.0
    assert gwp_star(flux, 28.0)[30] / (16.043 / 44.009 * 28.0) == pytest.approx(-4.25, abs=0.02)
    assert np.isnan(gwp_star(flux)[:20]).all()


def test_holes_are_not_filled():
    flux = np.ones(10)
    flux[4] = np.nan
    forcing = radiative_forcing(flux, "CH4")
    assert np.isfinite(forcing[:4]).all()
    assert np.isnan(forcing[4:]).all()
    with pytest.raises(ConfigError, match="does not fit a series of 10 years"):
        gwp_star(flux)
