"""Units at the border, against cftime and hand arithmetic."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import xarray as xr
from cf_xarray.units import units as UNITS
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import UnitsError
from talik.flux import amount_from_rate, as_units, mass_from_moles, rate_from_amount
from talik.flux.units import names_species


def array(value=1.0, units: str | None = "g m-2 d-1") -> xr.DataArray:
    return xr.DataArray([value], dims="cell", name="nee", attrs={} if units is None else {"units": units})


@pytest.mark.parametrize(
    ("units", "target", "factor"),
    [
        ("g m-2 d-1", "kg m-2 s-1", 1e-3 / 86_400),
        ("kg m-2 s-1", "g m-2 d-1", 86.4e6),
        ("mg m-2 h-1", "kg m-2 s-1", 1e-6 / 3600),
        ("Mg ha-1 d-1", "kg m-2 s-1", 0.1 / 86_400),
        ("%", "1", 0.01),
    ],
)
def test_conversion_factors(units, target, factor):
    out = as_units(array(1.0, units), target)
    assert float(out[0]) == pytest.approx(factor, rel=1e-12)
    assert out.attrs["units"] == target


@pytest.mark.parametrize(
    ("units", "target", "message"),
    [
        (None, "kg m-2 s-1", "'nee' has no units"),
        ("", "kg m-2 s-1", "'nee' has no units"),
        ("g C m-2 d-1", "kg m-2 s-1", "name a species"),
        ("gC m-2 d-1", "kg m-2 s-1", "name a species"),
        ("kg CO2 m-2 s-1", "kg m-2 s-1", "name a species"),
        ("umol CO2 m-2 s-1", "kg m-2 s-1", "name a species"),
        ("mg C m-2 d-1", "kg m-2 s-1", "name a species"),
        ("t C ha-1 d-1", "kg m-2 s-1", "name a species"),
        ("kg (N) m-2 s-1", "kg m-2 s-1", "name a species"),
        ("µmol C m-2 s-1", "kg m-2 s-1", "name a species"),
        ("g.C/m2/d", "kg m-2 s-1", "name a species"),
        ("g m-2 month-1", "kg m-2 s-1", "amount per calendar month, whose length varies"),
        ("g m-2 yr-1", "kg m-2 s-1", "amount per calendar year"),
        ("umol m-2 s-1", "kg m-2 s-1", "mole fluxes go through mass_from_moles"),
        ("W m-2", "kg m-2 s-1", "is in 'W m-2', which cannot become 'kg m-2 s-1'"),
        ("florins", "kg m-2 s-1", "units 'florins' are not understood"),
        ("kg m-2 (s", "kg m-2 s-1", "not understood"),
    ],
)
def test_bad_units_say_what_to_do(units, target, message):
    with pytest.raises(UnitsError, match=message):
        as_units(array(1.0, units), target)


def test_moles_to_mass():
    """1 umol CO2 m-2 s-1 = 1.03775 g C m-2 d-1 with 12.011."""
    carbon = mass_from_moles(array(1.0, "umol m-2 s-1"), "C", "g m-2 d-1")
    assert float(carbon[0]) == pytest.approx(1.03775, abs=1e-5)
    methane = mass_from_moles(array(1.0, "nmol m-2 s-1"), "CH4", "g m-2 d-1")
    assert float(methane[0]) == pytest.approx(16.043e-9 * 86_400, rel=1e-12)
    with pytest.raises(UnitsError, match="is not a mole flux"):
        mass_from_moles(array(), "C", "g m-2 d-1")


def monthly(calendar: str, year: int = 2004) -> xr.DataArray:
    time = xr.date_range(f"{year}-01-01", periods=12, freq="MS", calendar=calendar, use_cftime=True)
    return xr.DataArray(
        np.ones(12), dims="time", coords={"time": time}, name="nee", attrs={"units": "g m-2 month-1"}
    )


@pytest.mark.parametrize(
    ("calendar", "days"), [("360_day", 360), ("noleap", 365), ("standard", 366), ("366_day", 366)]
)
def test_months_have_the_length_of_their_calendar(calendar, days):
    rate = rate_from_amount(monthly(calendar), "g m-2 d-1")
    first = cftime.datetime(2004, 2, 1, calendar=calendar)
    length = (cftime.datetime(2004, 3, 1, calendar=calendar) - first).days
    assert float(rate[1]) == pytest.approx(1 / length)
    assert float((1 / rate).sum()) == pytest.approx(days)


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
def test_bounds_decide_where_a_stamp_stands_at_the_end_of_its_month(calendar):
    """January stamped 1 February is 31 (360_day: 30) days long, not 29 (30)."""
    da = monthly(calendar)
    edges = xr.date_range("2004-01-01", periods=13, freq="MS", calendar=calendar, use_cftime=True)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    da = da.assign_coords(time=edges[1:])
    stated = xr.DataArray(bounds, dims=("time", "bnds"), coords={"time": edges[1:]})
    lengths = [(b - a).days for a, b in bounds]
    rate = rate_from_amount(da, "g m-2 d-1", bounds=stated)
    np.testing.assert_allclose(1 / rate, lengths)
    np.testing.assert_allclose(amount_from_rate(rate, "g m-2 month-1", bounds=stated), da)
    with pytest.raises(UnitsError, match=r"bounds span .* days where an amount per year needs 360\.\.366"):
        rate_from_amount(da.assign_attrs(units="g m-2 yr-1"), bounds=stated)
    for wrong in (stated.isel(time=slice(3)), stated.assign_coords(time=edges[:-1]), stated.isel(bnds=[0])):
        with pytest.raises(UnitsError, match=r"Expected \(time, 2\) on the data's own time"):
            rate_from_amount(da, bounds=wrong)


def test_what_a_species_in_a_unit_would_do():
    """The trap that is refused: 'g C m-2' parses, as gram times Celsius."""
    assert UNITS.Unit("g C m-2").dimensionality["[temperature]"] == 1
    for harmless in ("kg m-2 s-1", "N m-2", "degC", "m3 m-3", "J kg-1", "mm d-1", "Mg ha-1", "ppm"):
        assert not names_species(harmless)


def test_leap_february_of_a_real_calendar():
    time = xr.date_range("1900-01-01", periods=1300, freq="MS")
    da = xr.DataArray(
        np.ones(1300), dims="time", coords={"time": time}, name="nee", attrs={"units": "g m-2 month-1"}
    )
    days = 1 / rate_from_amount(da, "g m-2 d-1")
    lengths = np.diff(np.append(time.values, np.datetime64("2008-05-01"))) / np.timedelta64(1, "D")
    np.testing.assert_allclose(days, lengths)


@given(st.lists(st.floats(-1e3, 1e3), min_size=12, max_size=12))
def test_amount_and_rate_are_inverse(values):
    da = monthly("noleap").copy(data=np.array(values))
    back = amount_from_rate(rate_from_amount(da), "g m-2 month-1")
    np.testing.assert_allclose(back, values, rtol=1e-12, atol=1e-12)
    assert back.attrs["units"] == "g m-2 month-1"


def test_years_and_wrong_targets():
    da = monthly("standard", 2003).assign_attrs(units="g m-2 yr-1")
    assert float(rate_from_amount(da, "g m-2 d-1")[0]) == pytest.approx(1 / 365)
    with pytest.raises(UnitsError, match="not an amount per month or per year"):
        rate_from_amount(array())
    undated = da.assign_coords(time=np.arange(12.0))
    with pytest.raises(UnitsError, match="holds no dates"):
        rate_from_amount(undated)


def test_conversion_stays_lazy(computing_nothing):
    with computing_nothing():
        rate = as_units(array().chunk(cell=1), "kg m-2 s-1")
        months = rate_from_amount(monthly("noleap").chunk(time=4))
    xr.testing.assert_identical(rate.compute(), as_units(array(), "kg m-2 s-1"))
    xr.testing.assert_identical(months.compute(), rate_from_amount(monthly("noleap")))
