"""Making, checking, writing and reading a flux dataset."""

from __future__ import annotations

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr

from talik.errors import FluxError, InputError
from talik.flux import make_flux_dataset, open_flux, problems, validate, write_netcdf


def field(name="nee", calendar="standard", n=24, units="kg m-2 s-1", **attrs) -> xr.DataArray:
    time = xr.date_range(
        "2001-01-01", periods=n, freq="MS", calendar=calendar, use_cftime=calendar != "standard"
    )
    data = np.random.default_rng(1).normal(size=(n, 3, 4)) * 1e-8
    data[0, 0, 0] = np.nan
    return xr.DataArray(
        data,
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": [60.5, 61.5, 62.5], "lon": [10.5, 11.5, 12.5, 13.5]},
        name=name,
        attrs={"units": units, **attrs},
    )


def dataset(**changes) -> xr.Dataset:
    options = {"approach": "upscaling", "source": "a test", "coverage": 0.98, **changes}
    return make_flux_dataset({"nee": field(), "gpp": field("gpp")}, **options)


def test_a_made_dataset_is_complete():
    ds = dataset(title="T")
    assert validate(ds) is None
    assert ds.nee.attrs["positive"] == "up"
    assert ds.gpp.attrs["positive"] == "down"
    assert ds.gpp.attrs["standard_name"] == "gross_primary_productivity_of_biomass_expressed_as_carbon"
    assert ds.time.attrs["bounds"] == "time_bnds"
    assert str(ds.time_bnds.values[1, 0])[:10] == "2001-02-01"
    assert str(ds.time_bnds.values[1, 1])[:10] == "2001-03-01"


def test_time_bounds_follow_the_calendar():
    ds = make_flux_dataset({"nee": field(calendar="360_day")}, approach="process", source="s", coverage=1.0)
    lengths = {(b - a).days for a, b in ds.time_bnds.values}
    assert lengths == {30}


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda ds: ds.nee.attrs.pop("units"), "nee: units is missing; expected 'kg m-2 s-1'"),
        (lambda ds: ds.nee.attrs.update(units="g m-2 s-1"), "nee: units is 'g m-2 s-1'"),
        (lambda ds: ds.nee.attrs.pop("species"), "nee: species is missing; expected 'C'"),
        (lambda ds: ds.nee.attrs.update(species="CO2"), "nee: species is 'CO2'; the table stores 'C'"),
        (lambda ds: ds.nee.attrs.pop("positive"), "nee: positive is missing; expected 'up'"),
        (lambda ds: ds.gpp.attrs.update(positive="up"), "gpp: positive is 'up'; the table stores 'down'"),
        (lambda ds: ds.nee.attrs.pop("area_basis"), "nee: area_basis is missing"),
        (lambda ds: ds.nee.attrs.update(standard_name="gross"), "standard_name is 'gross'"),
        (lambda ds: ds.attrs.pop("approach"), "attribute approach: is None. Set it to one of: inventory"),
        (lambda ds: ds.attrs.update(approach="derived"), "attribute approach: is 'derived'"),
        (lambda ds: ds.attrs.update(source=" "), "attribute source: is missing"),
        (lambda ds: ds.time.attrs.pop("bounds"), "coordinate time: has no bounds"),
    ],
)
def test_each_problem_is_named(breakage, message):
    ds = dataset()
    breakage(ds)
    with pytest.raises(FluxError, match=message):
        validate(ds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("coverage"), "coverage: is missing"),
        (lambda ds: ds.assign(coverage=ds.coverage * 100), r"coverage: runs 98\.\.98"),
        (lambda ds: ds.rename(lat="latitude"), "dimension latitude: is unknown"),
        (lambda ds: ds.isel(time=slice(None, None, -1)), "coordinate time: is not in order"),
        (lambda ds: ds.assign_coords(lat=ds.lat + 60), r"coordinate lat: runs 120\.5"),
        (lambda ds: ds.assign_coords(lon=[10.5, 10.5, 12.5, 13.5]), "coordinate lon: holds 10.5 twice"),
        (lambda ds: ds.drop_vars(["nee", "gpp"]), "dataset: holds no flux variable"),
        (
            lambda ds: ds.assign(nee=ds.nee.fillna(0).astype(int).assign_attrs(ds.nee.attrs)),
            "nee: has dtype int64",
        ),
        (lambda ds: ds.drop_vars("time"), "coordinate time: is missing"),
    ],
)
def test_structural_problems_are_named(change, message):
    with pytest.raises(FluxError, match=message):
        validate(change(dataset()))


def test_all_problems_come_at_once():
    ds = dataset().drop_vars("coverage")
    ds.nee.attrs.pop("units")
    ds.attrs.pop("source")
    assert len(problems(ds)) == 3
    with pytest.raises(
        FluxError, match=r"3 problems:\n  - attribute source: .*\n  - nee: .*\n  - coverage: "
    ):
        validate(ds)


def test_making_refuses_what_is_not_stated():
    with pytest.raises(FluxError, match="nee: has no units"):
        make_flux_dataset({"nee": field(units="")}, approach="process", source="s", coverage=1.0)
    with pytest.raises(FluxError, match="'NEE' is not a flux variable; known are: nee, gpp"):
        make_flux_dataset({"NEE": field()}, approach="process", source="s", coverage=1.0)
    with pytest.raises(FluxError, match="species is 'CO2'; the table stores 'C'"):
        make_flux_dataset({"nee": field(species="CO2")}, approach="process", source="s", coverage=1.0)
    daily = field().assign_coords(time=xr.date_range("2001-01-01", periods=24, freq="D"))
    with pytest.raises(FluxError, match="has no bounds"):
        make_flux_dataset({"nee": daily}, approach="process", source="s", coverage=1.0)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_written_and_read_back(tmp_path, calendar):
    inputs = tmp_path / "in.txt"
    inputs.write_text("x")
    ds = make_flux_dataset({"nee": field(calendar=calendar)}, approach="process", source="s", coverage=0.9)
    path = write_netcdf(
        ds, tmp_path / "sub" / "out.nc", step="test", config_key="k", inputs={"in.txt": inputs}
    )
    with open_flux(path) as back:
        xr.testing.assert_equal(back.nee.load(), ds.nee)
        assert back.nee.attrs["positive"] == "up"
        assert back.attrs["Conventions"] == "CF-1.12"
        assert "talik test code=" in back.attrs["history"].splitlines()[0]
        assert json.loads(back.attrs["talik_inputs"])["in.txt"].startswith(
            "2d711642b726b044"
        )  # sha256 of "x"
        again = write_netcdf(back, tmp_path / "again.nc", step="copy")
    with open_flux(again) as twice:
        first, second = twice.attrs["history"].splitlines()
        assert " copy " in first
        assert " test " in second
    with netCDF4.Dataset(path) as raw:  # what other software sees
        assert raw["nee"].units == "kg m-2 s-1"
        assert raw["time"].bounds == "time_bnds"
        assert raw["nee"]._FillValue == 1e20
    assert not list(tmp_path.rglob("*.part"))


def test_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nc: no such file"):
        open_flux(tmp_path / "gone.nc")
    (tmp_path / "bad.nc").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"bad\.nc: not readable as NetCDF"):
        open_flux(tmp_path / "bad.nc")
    xr.Dataset({"nee": ("cell", [1.0])}).to_netcdf(tmp_path / "plain.nc")
    with pytest.raises(FluxError, match="not a flux dataset"):
        open_flux(tmp_path / "plain.nc")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    ds = dataset()
    target = tmp_path / "out.nc"
    target.write_text("old")

    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        write_netcdf(ds, target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
