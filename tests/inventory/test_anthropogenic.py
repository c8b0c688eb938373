"""Posts of human emissions over a region, from flux datasets as the readers of emission grids make them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from talik.errors import CoverageError, GridError, PostError
from talik.flux import make_flux_dataset
from talik.inventory.anthropogenic import HUMAN_POSTS, HumanPost, anthropogenic_posts, relative
from talik.posts.post import check_unique
from talik.posts.published import components
from talik.regions import LatLonGrid, land_fraction, latitude_bands, sectors

GRID = LatLonGrid.regular(10.0)
BAND = latitude_bands(GRID, (60.0, 90.0))
AREA_TM2 = float(BAND["region_area"][0]) * 1e-12


def emissions(
    variable: str,
    sector: str,
    g_m2_yr: tuple[float, ...] = (1.0,),
    *,
    grid: LatLonGrid = GRID,
    first: int = 2000,
) -> xr.Dataset:
    """Emissions that are the same everywhere, g m-2 of the element in each year; real lengths of years."""
    edges = np.array([f"{first + k}-01-01" for k in range(len(g_m2_yr) + 1)], "datetime64[ns]")
    seconds = np.diff(edges) / np.timedelta64(1, "s")
    rates = 1e-3 * np.array(g_m2_yr) / seconds
    values = np.broadcast_to(rates[:, None, None], (rates.size, *grid.shape)).copy()
    coords = {"time": edges[:-1], **grid.coords()}
    species = "N" if "N2o" in variable else "C"
    attrs = {
        "units": "kg m-2 s-1",
        "species": species,
        "positive": "up",
        "area_basis": "cell",
        "sector": sector,
    }
    flux = xr.DataArray(values, dims=("time", *grid.dims), coords=coords, attrs=attrs)
    bounds = xr.DataArray(
        np.column_stack([edges[:-1], edges[1:]]), dims=("time", "bnds"), coords={"time": edges[:-1]}
    )
    return make_flux_dataset(
        {variable: flux}, approach="anthropogenic", source=f"Test, {sector}", coverage=1.0, time_bounds=bounds
    )


ALL = (
    ("fFossil", "TOTAL"),
    ("fFossil", "GAS"),
    ("fFossil", "OIL"),
    ("fFossilCh4", "COAL"),
    ("fAgriWasteCh4", "x"),
)


def test_posts_are_the_published_ones_with_their_relative_limits():
    """Scaled to the printed means, the posts are those of the budget: ids, parents, origins, processes and limits."""
    published = {p.key: p for p in components() if p.approach == "anthropogenic"}
    made = anthropogenic_posts([emissions(v, s) for v, s in ALL], "bands:60,90")
    assert {p.key for p in made} == set(published)
    for post in made:
        known = published[post.key]
        for name in ("unit", "approach", "part_of", "origin", "covers"):
            assert getattr(post, name) == getattr(known, name), (post.key, name)
        assert post.mean == pytest.approx(AREA_TM2, rel=1e-9)
        scale = known.mean / post.mean
        assert post.high * scale == pytest.approx(known.high, rel=1e-9)
        # the text prints 0.43, the table 0.44
        low = 0.43 if post.id == "anthropogenic.agriculture_waste" else known.low
        assert post.low * scale == pytest.approx(low, rel=1e-9)
        assert (post.region, post.period) == (">60N", "2000-2000")
    assert len(check_unique(made)) == 5


def test_the_mean_is_over_years_of_their_own_length():
    ds = emissions("fFossil", "TOTAL", (1.0, 2.0, 6.0))
    (post,) = anthropogenic_posts([ds], BAND)
    assert (post.mean, post.period) == (pytest.approx(3.0 * AREA_TM2), "2000-2002")
    (post,) = anthropogenic_posts([ds], BAND, period=(2001, 2002))
    assert (post.mean, post.period) == (pytest.approx(4.0 * AREA_TM2), "2001-2002")
    with pytest.raises(CoverageError, match="every year of 2001-2003; 2003 missing"):
        anthropogenic_posts([ds], BAND, period=(2001, 2003))


def test_sectors_of_one_post_are_added():
    """On grids of their own, over the years that all have."""
    coal = emissions("fFossilCh4", "COAL", (1.0, 1.0))
    gas = emissions("fFossilCh4", "GAS", (2.0, 4.0), grid=LatLonGrid.regular(5.0), first=2001)
    (post,) = anthropogenic_posts([coal, gas], BAND)
    assert (post.mean, post.period) == (pytest.approx(3.0 * AREA_TM2), "2001-2001")
    assert post.source == "Test, COAL; Test, GAS"
    with pytest.raises(PostError, match="sector COAL is given twice"):
        anthropogenic_posts([coal, emissions("fFossilCh4", "COAL")], BAND)
    with pytest.raises(PostError, match="TOTALS holds all sectors, so COAL would be counted twice"):
        anthropogenic_posts([coal, emissions("fFossilCh4", "TOTALS")], BAND)


def test_rows_are_the_users():
    ds = emissions("fFossil", "TOTAL")
    mine = [replace(row, share=relative(10.0, 9.0, 12.0)) for row in HUMAN_POSTS]
    (post,) = anthropogenic_posts([ds], BAND, rows=mine)
    assert (post.low / post.mean, post.high / post.mean) == (pytest.approx(0.9), pytest.approx(1.2))
    assert "90 and 120 % of the mean" in post.note
    n2o = HumanPost(
        id="anthropogenic.n2o",
        gas="N2O",
        variable="fAnthropogenicN2o",
        share=relative(1.0, 0.5, 2.0),
        covers=frozenset({"agriculture_waste", "fossil_industrial"}),
    )
    (post,) = anthropogenic_posts([emissions("fAnthropogenicN2o", "TOTALS")], BAND, rows=[n2o])
    assert (post.gas, post.unit, post.low) == ("N2O", "Tg N2O-N yr-1", pytest.approx(0.5 * AREA_TM2))
    with pytest.raises(PostError, match="expected 0 < mean"):
        relative(0.0, -1.0, 1.0)


def test_a_part_without_its_whole_has_no_parent():
    (gas,) = anthropogenic_posts([emissions("fFossil", "GAS")], BAND)
    assert gas.part_of is None
    whole, part = anthropogenic_posts([emissions("fFossil", "GAS"), emissions("fFossil", "TOTAL")], BAND)
    assert part.part_of == whole.id


def test_what_is_refused():
    with pytest.raises(
        PostError, match="no post takes fFossil BUNKER; known are: fFossil TOTAL TOTALS; fFossil GAS"
    ):
        anthropogenic_posts([emissions("fFossil", "BUNKER")], BAND)
    ds = emissions("fFossil", "TOTAL")
    bare = ds.copy()
    bare["fFossil"] = ds["fFossil"].drop_attrs()
    with pytest.raises(PostError, match="one flux and its attribute 'sector'"):
        anthropogenic_posts([bare], BAND)
    with pytest.raises(PostError, match="emissions are not negative"):
        anthropogenic_posts([emissions("fFossil", "TOTAL", (-1.0,))], BAND)
    holes = ds.assign(fFossil=ds["fFossil"].where(ds["lon"] > 0.0))
    with pytest.raises(CoverageError, match=r"data cover 50\.00 %"):
        anthropogenic_posts([holes], BAND)
    (post,) = anthropogenic_posts([holes], BAND, min_coverage=0.4)
    assert "Data cover 50.0 % of the region" in post.note


def test_a_region_of_land_takes_the_emissions_of_its_shore():
    land = sectors(GRID).sel(region=["alaska"])
    ds = emissions("fFossil", "TOTAL")
    with pytest.raises(GridError, match="give land_fraction"):
        anthropogenic_posts([ds], land)
    (post,) = anthropogenic_posts([ds], land, land_fraction=land_fraction)
    share = (land.isel(region=0) / land_fraction(GRID)).fillna(0.0).clip(max=1.0)
    assert post.mean == pytest.approx(float((share * GRID.cell_area()).sum()) * 1e-12, rel=1e-9)
    assert post.region == "alaska"
