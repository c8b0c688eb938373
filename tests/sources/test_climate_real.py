"""Climate of the process model from real files, against plain readings of the same files and of other sources."""

from __future__ import annotations

import calendar
import csv
import gzip
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest

from talik.errors import InputError
from talik.sources.climate import read_climate
from talik.sources.climate_checks import check_climate, climate_summary


@pytest.fixture(scope="module")
def toolik(shared: Path) -> Path:
    return shared / "data" / "dvmdostem-toolik-10x10"


def test_dvmdostem_joins_past_and_future(toolik: Path) -> None:
    files = [toolik / "projected-climate.nc", toolik / "historic-climate.nc"]
    climate = read_climate(files, cells=[(68.65, -149.5)])
    assert climate.attrs["layout"] == "dvmdostem"
    assert climate.sizes["time"] == 2400
    with netCDF4.Dataset(files[0]) as later, netCDF4.Dataset(files[1]) as earlier:
        lat, lon = earlier["lat"][:], earlier["lon"][:]
        apart = (lat - 68.65) ** 2 + (np.cos(np.radians(68.65)) * (lon + 149.5)) ** 2
        j, i = np.unravel_index(np.argmin(apart), lat.shape)
        for name, held in (("tas", "tair"), ("pr", "precip"), ("rsds", "nirr")):
            series = np.concatenate([f[held][:, j, i].filled(np.nan) for f in (earlier, later)])
            np.testing.assert_array_equal(climate[name][:, 0], series.astype("f8"))
    assert (climate["lat"].item(), climate["lon"].item()) == pytest.approx((lat[j, i], lon[j, i]))
    assert check_climate(climate) == []


def test_dvmdostem_all_cells_stay_in_file_order(toolik: Path) -> None:
    climate = read_climate(toolik / "historic-climate.nc", period=(1950, 1951))
    with netCDF4.Dataset(toolik / "historic-climate.nc") as file:
        np.testing.assert_array_equal(climate["lat"], file["lat"][:].ravel().astype("f8"))
        np.testing.assert_array_equal(climate["tas"], file["tair"][588:612].reshape(24, 100).astype("f8"))


def test_tem_tables_hold_the_same_climate_under_corners_and_centres(shared: Path) -> None:
    corners = read_climate(shared / "data" / "tem-reference" / "forcing_monthly.csv")
    centres = read_climate(shared / "data" / "tem-65-70n" / "climate_monthly_cells.csv.gz")
    assert corners.attrs["layout"] == centres.attrs["layout"] == "tem-csv"
    np.testing.assert_array_equal(corners["lat"] + 0.25, centres["lat"])
    for name in ("tas", "pr", "clt"):
        np.testing.assert_allclose(corners[name], centres[name], rtol=0, atol=1e-12)
    with (shared / "data" / "tem-reference" / "forcing_monthly.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["lat"], r["year"], r["month"]) == ("66.5", "1987", "7")]
    july = corners.isel(cell=3).sel(time="1987-07-01")
    assert [july["tas"].item(), july["pr"].item(), 100 * july["clt"].item()] == pytest.approx(
        [float(rows[0][n]) for n in ("TAIR_degC", "PREC_mm", "CLDS_pct")]
    )


def test_tem_cells_have_the_climate_of_another_source(shared: Path) -> None:
    climate = read_climate(shared / "data" / "tem-65-70n" / "climate_monthly_cells.csv.gz")
    path = shared / "data" / "climatology-biome4-05deg" / "biome4_climatology_40-90N_0.5deg.nc"
    summary = climate_summary(climate)
    with netCDF4.Dataset(path) as file:
        rows = [int(np.argmin(np.abs(file["lat"][:] - v))) for v in climate["lat"].values]
        column = int(np.argmin(np.abs(file["lon"][:] + 179.75)))
        tas = np.ma.mean([file["tas"][:, r, column] for r in rows])
        pr = np.ma.mean([file["pr"][:, r, column].sum() for r in rows])
    assert summary.loc["tas", "mean"] == pytest.approx(float(tas), abs=2.5)
    assert summary.loc["pr", "mean"] == pytest.approx(float(pr), rel=0.35)
    with pytest.raises(
        InputError, match=r"month holds no dates.*A climatology without years cannot drive the model"
    ):
        read_climate(path)


def test_towers_by_hand(shared: Path) -> None:
    path = shared / "data" / "fluxnet2015-cardamom" / "site_months.parquet"
    climate = read_climate(path)
    assert climate.attrs["layout"] == "cardamom"
    assert dict(climate.sizes) == {"time": 192, "cell": 93, "bnds": 2}
    table = pd.read_parquet(path)
    rows = table[(table["site"] == "FI-Hyy") & (table["year"] == 2004)]
    k = list(climate["site"].values).index("FI-Hyy")
    year = climate.isel(cell=k).sel(time="2004")
    rain = sum(r.precip * calendar.monthrange(2004, r.month)[1] for r in rows.itertuples())
    assert year["pr"].sum().item() == pytest.approx(rain, rel=1e-12)
    assert year["tas"].mean().item() == pytest.approx((rows["tmin"] + rows["tmax"]).mean() / 2, rel=1e-12)
    july = rows[rows["month"] == 7]["ssrd"].item()
    assert year["rsds"][6].item() == pytest.approx(july * 1e6 / 86_400, rel=1e-12)
    one = read_climate(path, cells=[(61.85, 24.3)], period=(2004, 2004))
    assert one["site"].item() == "FI-Hyy"
    np.testing.assert_array_equal(one["pr"][:, 0], year["pr"])


def test_a_cmip6_model_on_a_coarse_grid(shared: Path) -> None:
    name = "tas_mon_IPSL-CM6A-LR_ssp585_r1i1p1f1_r20x20_40-90N.nc"
    path = shared / "data" / "ipsl-cm6a-lr-coarse" / name
    climate = read_climate(path, variables=["tas"], cells=[(67.0, -161.0)])
    assert (climate["lat"].item(), climate["lon"].item()) == (67.5, -162.0)
    with netCDF4.Dataset(path) as file:
        series = file["tas"][:, 3, 11].filled(np.nan).astype("f8") - 273.15
    np.testing.assert_allclose(climate["tas"][:, 0], series, atol=1e-10)
    whole = read_climate(path, variables=["tas"])
    assert (whole["lon"].min().item(), whole["lon"].max().item()) == (-180.0, 162.0)
    assert "lon 0..360 turned to -180..180" in whole.attrs["notes"]
    with pytest.raises(InputError, match=r"steps of time are 365 days apart"):
        read_climate(path.with_name("tas_ann_IPSL-CM6A-LR_ssp585_r1i1p1f1_r20x20.nc"))


def test_a_daily_table_of_one_place(shared: Path) -> None:
    path = shared / "data" / "samoylov-forcing" / "samoylov_era5_fitted_daily_1979-2020.csv.gz"
    climate = read_climate(
        path, layout="tem-csv", variables=["tas"], cells=[(72.4, 126.5)], period=(1979, 2020)
    )
    sums: dict[str, list[float]] = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            sums.setdefault(row["date"][:7], []).append(float(row["tair_degC"]))
    means = [sum(v) / len(v) for m, v in sorted(sums.items()) if m < "2021"]
    np.testing.assert_allclose(climate["tas"][:, 0], means, atol=1e-10)
    with pytest.raises(InputError, match=r"2021-01 \(1 of 31 days\)"):
        read_climate(path, layout="tem-csv", variables=["tas"], cells=[(72.4, 126.5)])
