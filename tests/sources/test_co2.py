"""CO2 of a run, against published values and plain readings."""

from __future__ import annotations

import csv
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from talik.errors import ConfigError, InputError, UnitsError
from talik.sources.co2 import read_co2


def test_scenarios_by_published_values(shared: Path) -> None:
    path = shared / "data" / "ssp-concentrations" / "ssp_concentrations_annual.csv"
    high = read_co2(path, years=(1850, 2100), scenario="ssp585")
    assert high.sizes == {"year": 251}
    assert high.attrs["units"] == "ppm"
    assert float(high.sel(year=2100)) == pytest.approx(1135.2, abs=0.05)  # Meinshausen et al. 2020
    assert float(high.sel(year=1850)) == pytest.approx(284.3, abs=0.05)
    low = read_co2(path, years=(2100, 2100), scenario="ssp126")
    assert low.values == pytest.approx([445.6], abs=0.05)
    for scenario in (None, "ssp460x"):
        with pytest.raises(ConfigError, match=r"choose one of: ssp119, ssp126, ssp245"):
            read_co2(path, years=(2000, 2100), scenario=scenario)


def test_the_past_first_then_the_scenario(shared: Path) -> None:
    past = shared / "data" / "tem-65-70n" / "co2_annual_1901-2021.csv"
    future = shared / "data" / "ssp-concentrations" / "ssp_concentrations_annual.csv"
    co2 = read_co2([past, future], years=(1901, 2100), scenario="ssp585")
    with past.open() as file:
        observed = [float(r["co2_ppm"]) for r in csv.DictReader(file)]
    with future.open() as file:
        later = [
            float(r["co2_ppm"])
            for r in csv.DictReader(file)
            if r["scenario"] == "ssp585" and int(r["year"]) > 2021
        ]
    np.testing.assert_array_equal(co2, observed + later[: 2100 - 2021])
    assert co2.attrs["source"].startswith(
        "co2_annual_1901-2021.csv 1901-2021, ssp_concentrations_annual.csv 2022-2100"
    )
    with pytest.raises(ConfigError, match=r"has no column scenario, but scenario 'ssp585' was asked for"):
        read_co2(past, years=(1901, 2000), scenario="ssp585")


def test_dvmdostem_files(shared: Path) -> None:
    folder = shared / "data" / "dvmdostem-toolik-10x10"
    co2 = read_co2([folder / "co2.nc", folder / "projected-co2.nc"], years=(1901, 2100))
    with netCDF4.Dataset(folder / "co2.nc") as a, netCDF4.Dataset(folder / "projected-co2.nc") as b:
        np.testing.assert_array_equal(co2, np.concatenate([a["co2"][:], b["co2"][:]]).astype("f8"))
    with pytest.raises(InputError, match=r"no CO2 for 86 of 201 years, first 1900, last 2100"):
        read_co2(folder / "co2.nc", years=(1900, 2100))
    with pytest.raises(InputError, match=r"topo.nc: holds slope.*expected co2 by year"):
        read_co2(folder / "topo.nc", years=(2000, 2001))


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("year,co2_ppm\n2000,0.00037\n", InputError, r"CO2 of 2000 is 0.00037; expected 150..3000 ppm"),
        ("year,co2_ppm\n2000,NA\n", InputError, r"CO2 of 2000 is nan"),
        ("year,co2_ppm\n2000,370\n2000,371\n", InputError, r"occur twice"),
        ("year,ch4\n2000,1800\n", InputError, r"holds year, ch4; expected year and co2_ppm"),
        ("year,co2\n2000,370\n", UnitsError, r"no units"),
    ],
)
def test_tables_that_are_wrong(tmp_path: Path, text: str, error: type[Exception], match: str) -> None:
    (tmp_path / "co2.csv").write_text(text)
    with pytest.raises(error, match=match):
        read_co2(tmp_path / "co2.csv", years=(2000, 2000))


def test_units_in_the_header_and_arguments(tmp_path: Path) -> None:
    (tmp_path / "co2.csv").write_text("year,co2 [mol mol-1]\n2000,0.00037\n1999,0.000369\n")
    assert read_co2(tmp_path / "co2.csv", years=(1999, 2000)).values == pytest.approx([369, 370])
    with pytest.raises(ConfigError, match=r"expected a file and \(first year, last year\)"):
        read_co2(tmp_path / "co2.csv", years=(2000, 1999))
