"""Land cover of BAWLD: the real cells, and tables that cannot be right."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.inventory.classes import COVER, LAKES, PARENTS, RIVERS, WATER, WETLANDS, inventory_class
from talik.sources.bawld import read_bawld
from talik.sources.bawld_classes import CLASSES

TABLE = "data/bawld-ch4-wetlands/bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
CELLS = "data/bawld-ch4-wetlands/bawld_cells_with_flux_sites.csv"


def whole_area(lat):
    """Area of a half-degree cell by geodesics along fine steps of its parallels, m2."""
    geod = pyproj.Geod(ellps="WGS84")
    lon = np.linspace(0.0, 0.5, 501)
    around = np.concatenate([lon, lon[::-1]])
    area, _ = geod.polygon_area_perimeter(around, np.repeat([lat - 0.25, lat + 0.25], lon.size))
    return abs(area)


def cell(number=14993, lat=68.25, lon=19.25, share=100.0, **percent):
    """A row of the table with its parents; half boreal forest, half fen unless told."""
    given = percent or {"BOR": 50.0, "FEN": 50.0}
    parts = {c: given.get(c, 0.0) for c in CLASSES}
    sums = {p: given.get(p, sum(parts[c] for c in of)) for p, of in PARENTS.items()}
    place = {"Cell_ID": number, "Long": lon, "Lat": lat, "Area_Pct": share}
    return {**place, "Shp_Area": whole_area(lat) * share / 100.0, **parts, **sums}


@pytest.fixture
def written(tmp_path):
    def write(*rows, **columns):
        path = tmp_path / "cells.csv"
        pd.DataFrame(rows).assign(**columns).to_csv(path, index=False)
        return path

    return write


def with_limits(row, spread=1.0):
    low = {f"{c}_L": max(row[c] - spread, 0.0) for c in (*CLASSES, *PARENTS)}
    return {**row, **low, **{f"{c}_H": min(row[c] + spread, 100.0) for c in (*CLASSES, *PARENTS)}}


def test_the_fixture_row_as_printed(shared):
    """Cell 14993 at 68.25 N 19.25 E, typed in from the published table."""
    printed = {
        "GLA": 0.12,
        "ROC": 18.55,
        "TUN": 57.18,
        "BOR": 8.53,
        "PEB": 0.03,
        "BOG": 1.27,
        "FEN": 1.54,
        "LAL": 11.23,
        "MPL": 0.17,
        "MGL": 0.71,
        "SGL": 0.33,
        "SRR": 0.01,
        "SRP": 0.33,
    }
    for name in (TABLE, CELLS):
        ds = read_bawld(shared / name)
        one = ds.isel(cell=int(np.flatnonzero(ds["cell_id"] == 14993)[0]))
        found = {
            str(c): float(100.0 * v) for c, v in zip(ds["cover"].values, one["fraction"].values, strict=True)
        }
        assert found == {c: pytest.approx(printed.get(c, 0.0), abs=1e-9) for c in CLASSES}
        assert (float(one["lat"]), float(one["lon"])) == (68.25, 19.25)
        assert float(one["cell_area"]) == 1153571863.0
        assert float(one["wetscape"]) == 11
        assert float(one["tair"].sel(month=1)) == -13.7048
        assert float(one["tair"].sel(month=7)) == 10.3841
        assert float(one["tair_annual"]) == -2.86057


def test_both_real_tables_hold_the_same_82_cells(shared):
    joined, cells = read_bawld(shared / TABLE), read_bawld(shared / CELLS)
    assert joined.sizes["cell"] == 82
    assert joined.attrs["notes"] == [f"{TABLE.split('/')[-1]}: 62 of 419 rows name no cell and are left out"]
    assert cells.attrs["notes"] == [f"{CELLS.split('/')[-1]}: 1 of 83 rows name no cell and are left out"]
    assert joined.drop_vars(["fraction_low", "fraction_high"]).equals(cells)
    assert not {"fraction_low", "fraction_high"} & set(cells)
    assert (joined["fraction_low"] <= joined["fraction"]).all()
    assert (joined["fraction"] <= joined["fraction_high"]).all()
    np.testing.assert_allclose(cells["fraction"].sum("cover"), 1.0, atol=2.5e-4)
    np.testing.assert_allclose(cells["tair"].mean("month"), cells["tair_annual"], atol=1e-4)


def test_real_areas_are_the_part_inside_the_domain(shared):
    """On coasts the printed area is that of the cell times Area_Pct: the two must not be multiplied again."""
    ds = read_bawld(shared / CELLS)
    whole = np.array([whole_area(lat) for lat in ds["lat"].values])
    share = ds["cell_area"].values / whole
    np.testing.assert_allclose(share, ds["domain_share"], atol=4e-3)
    inland = ds["domain_share"].values == 1.0
    np.testing.assert_allclose(share[inland], 1.0, atol=2e-4)
    assert inland.sum() > 50
    assert share.min() < 0.6


def test_limits_and_order(written):
    rows = [with_limits(cell(7, 60.25, 200.25)), with_limits(cell(3, 70.75, -10.75))]
    ds = read_bawld(written(*rows))
    assert list(ds["cell_id"].values) == [3, 7]
    assert list(ds["lon"].values) == [-10.75, -159.75]
    assert ds["fraction_low"].sel(cover="FEN").values == pytest.approx([0.49, 0.49])
    assert ds["fraction_high"].sel(cover="BOR").values == pytest.approx([0.51, 0.51])
    assert "tair" not in ds
    assert "wetscape" not in ds


def test_gzip_and_shape_area(tmp_path, written):
    plain = written(cell())
    zipped = tmp_path / "cells.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes().replace(b"Shp_Area", b"Shape_Area")))
    assert read_bawld(zipped).equals(read_bawld(plain))


def test_limits_off_by_rounding_are_a_note(written):
    row = {**with_limits(cell()), "FEN_L": 50.01}
    assert read_bawld(written(row)).attrs["notes"] == [
        "cells.csv: 1 limits XXX_L lie above their value by rounding"
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {**with_limits(cell()), "FEN_L": 51.0},
            "1 limits XXX_L lie above .* FEN_L of cell 14993 by 1 percent",
        ),
        (
            {**with_limits(cell()), "BOR_H": 20.0},
            "1 limits XXX_H lie below .* BOR_H of cell 14993 by 30 percent",
        ),
        ({**with_limits(cell()), "XYZ_L": 1.0}, "limits of XYZ, which is no class"),
        ({**cell(), "FEN_L": 1.0}, "some limits are missing: .*BOG_H"),
        ({k: v for k, v in cell().items() if k != "MYL"}, "no column MYL; expected the 19 classes"),
        ({k: v for k, v in cell().items() if k != "Shp_Area"}, "no column Shp_Area or Shape_Area"),
        ({**cell(), "CD_Tmp_m0": 1.0}, "has temperatures CD_Tmp_m0.*1 columns"),
        (cell(BOR=101.0, FEN=-1.0), "1 of 1 cells .first Cell_ID 14993.: BOR lies outside 0..100 %"),
        (cell(BOR=100.0, FEN=-0.5), "FEN lies outside"),
        (cell(BOR=50.0, FEN=40.0), "do not add up to 100 % .off by up to 10.. Is a class missing"),
        (cell(BOR=50.0, FEN=50.0, WET=51.0), "WET is not PEB .*up to 1 percent points"),
        (cell(BOR=0.5, FEN=0.5), "add up to 1 in every cell; expected percent"),
        ({**cell(), "BOR": "many"}, "column BOR holds 'many'; expected numbers"),
        ({**cell(), "BOR": np.nan}, "1 of 1 cells lack values of BOR"),
        ({**cell(), "Cell_ID": np.nan}, "1 rows have land cover but no Cell_ID"),
        (cell(lat=68.0), "no centres of half-degree cells"),
        ({**cell(), "Lat": 95.25}, "Lat beyond 90 degrees"),
        ({**cell(), "Long": -190.25}, "Long outside -180..360"),
        ({**cell(), "Shp_Area": 1153.6}, "not that of the half-degree cell .* in place of 1.1535"),
        ({**cell(), "Area_Pct": 50.0}, "not that of the half-degree cell on the ellipsoid times Area_Pct"),
        ({**cell(), "Area_Pct": 0.0}, "Area_Pct lies outside"),
        ({**cell(), "WETSCAPE": 16}, "WETSCAPE is none of 1..15"),
        (
            {**cell(), **{f"CD_Tmp_m{m}": 263.0 for m in range(12)}, "CD_Tmp_An": 263.0},
            "Is it in kelvin",
        ),
    ],
)
def test_wrong_tables(written, row, message):
    with pytest.raises(InputError, match=message):
        read_bawld(written(row))


def test_rows_of_one_cell_agree_or_fail(written):
    twice = [cell(), cell(), cell(5, 60.25, 20.25)]
    assert read_bawld(written(*twice, Site=["a", "b", "c"])).sizes["cell"] == 2
    with pytest.raises(InputError, match="contradict each other in 1 cells, first 14993 in BOR, FEN"):
        read_bawld(written(cell(), cell(BOR=40.0, FEN=60.0)))
    empty = dict.fromkeys(cell(), np.nan)
    with pytest.raises(InputError, match="no row has a Cell_ID"):
        read_bawld(written({**empty, "Site": "x"}))


@settings(max_examples=8)
@given(
    weights=st.lists(st.floats(0.0, 1.0), min_size=19, max_size=19).filter(lambda w: sum(w) > 0.1),
    row=st.integers(0, 359),
    column=st.integers(0, 719),
)
def test_printed_shares_always_read(tmp_path_factory, weights, row, column):
    """Shares rounded to 0.01 percent points, as published, add up well enough in every mix."""
    percent = np.round(100.0 * np.array(weights) / sum(weights), 2)
    lat, lon = -89.75 + 0.5 * row, -179.75 + 0.5 * column
    given_row = cell(1, lat, lon, **dict(zip(CLASSES, percent, strict=True)))
    path = tmp_path_factory.mktemp("mix") / "cells.csv"
    pd.DataFrame([given_row]).to_csv(path, index=False)
    ds = read_bawld(path)
    np.testing.assert_allclose(ds["fraction"].values[0] * 100.0, percent)
    assert abs(float(ds["cell_area"][0]) - whole_area(lat)) <= 1e-6 * whole_area(lat)


def test_the_inventory_knows_the_same_classes():
    assert list(COVER) == list(CLASSES)
    assert len(COVER) == 19
    assert {*WETLANDS, *LAKES, *RIVERS} == {c for c, v in CLASSES.items() if v.parent}
    assert {c for c in COVER if inventory_class(c) == WATER} == {*LAKES, *RIVERS}
    assert {c for c in COVER if inventory_class(c) == "permafrost_free_wetland"} == {"MAR", "BOG", "FEN"}
    assert [c for c in COVER if inventory_class(c) is None] == ["GLA", "ROC"]
    singles = {"TUN": "dry_tundra", "BOR": "boreal_forest", "PEB": "permafrost_bog", "WTU": "tundra_wetland"}
    assert {c: inventory_class(c) for c in singles} == singles
