"""Areas, the inventory equation, posts and the whole run, against sums by hand and the published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from talik.budget.audit import audit
from talik.budget.compute import compute
from talik.budget.files import read_posts
from talik.budget.settings import BudgetSettings
from talik.errors import ConfigError, CoverageError, InputError
from talik.inventory.areas import (
    DOMAIN_MKM2,
    checked_areas,
    class_weight,
    cover_areas,
    published_areas,
)
from talik.inventory.class_sites import Density
from talik.inventory.classes import COVER, LAND
from talik.inventory.density_table import published_densities
from talik.inventory.land_cover import class_flux, posts
from talik.inventory.limits import Limited, draws_of
from talik.inventory.run import run
from talik.inventory.settings import InventorySettings

DRAWS = 20_000
REGION, PERIOD = "northern permafrost region", "2000-2020"


def cover(**shares: list[float]) -> xr.Dataset:
    """Cells of 1e12 and 2e12 m2 with shares of classes; limits are half and one and a half of them."""
    fraction = np.array([shares.get(code, [0.0, 0.0]) for code in COVER]).T
    return xr.Dataset(
        {
            "fraction": (("cell", "cover"), fraction),
            "fraction_low": (("cell", "cover"), 0.5 * fraction),
            "fraction_high": (("cell", "cover"), 1.5 * fraction),
            "cell_area": ("cell", [1e12, 2e12]),
        },
        coords={"cover": list(COVER)},
    )


def test_areas_are_sums_over_cells_and_classes_limits_added_up() -> None:
    world = cover(
        TUN=[0.5, 0.1], BOG=[0.2, 0.0], FEN=[0.0, 0.3], ROC=[0.3, 0.0], LAL=[0.0, 0.2], GLA=[0.0, 0.4]
    )
    found = cover_areas(world)
    np.testing.assert_allclose(found["dry_tundra"], np.array([1.0, 0.5, 1.5]) * 0.7)
    np.testing.assert_allclose(found["permafrost_free_wetland"], np.array([1.0, 0.5, 1.5]) * 0.8)
    np.testing.assert_allclose(
        [found[name].mean for name in ("rockland", "inland_waters", "glacier")], [0.3, 0.4, 0.8]
    )
    np.testing.assert_allclose(sum(area.mean for area in found.values()), 3.0)
    with_rock = cover_areas(world, "dry_tundra")
    np.testing.assert_allclose(with_rock["dry_tundra"].mean, 1.0)
    assert "rockland" not in with_rock
    np.testing.assert_allclose(class_weight(world, "permafrost_free_wetland"), [2e11, 6e11])
    np.testing.assert_allclose(class_weight(world, "dry_tundra", "dry_tundra"), [8e11, 2e11])


def test_published_areas_fill_the_land() -> None:
    found = published_areas()
    np.testing.assert_allclose(sum(found[name].mean for name in LAND), 17.05, atol=0.011)
    wetlands = np.sum([found[name] for name in LAND if LAND[name].group == "wetlands"], axis=0)
    # BAWLD's abstract: 3.2 (2.8, 3.8)
    np.testing.assert_allclose(wetlands / wetlands[0], [1.0, 2.8 / 3.2, 3.8 / 3.2])
    assert checked_areas(found, DOMAIN_MKM2, "published") == found


@pytest.mark.parametrize(
    ("areas", "error", "match"),
    [
        (
            {"dry_tundra": Limited(19.0, 19.0, 19.0)},
            CoverageError,
            r"add up to 19 million km2, the domain has 18.42",
        ),
        ({"dry_tundra": Limited(-1.0, -1.0, -1.0)}, ConfigError, r"area of dry_tundra is -1 \(-1, -1\)"),
        ({"dry_tundra": Limited(1.0, 2.0, 0.5)}, ConfigError, "the lower one first, around the mean"),
        ({"taiga": Limited(1.0, 1.0, 1.0)}, ConfigError, "land-cover class 'taiga' is unknown"),
        ({"dry_tundra": Limited(0.0, 0.0, 0.0)}, InputError, "no class has any area"),
        (
            {"dry_tundra": Limited(2.0, 2.0, 2.0)},
            CoverageError,
            "11 % of the domain's 18.42. Give the whole domain",
        ),
    ],
)
def test_areas_that_cannot_be_are_refused(
    areas: dict[str, Limited], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        checked_areas(areas, DOMAIN_MKM2, "mine")


def density(mean: float, sd: float) -> Density:
    half = norm.ppf(0.975) * sd
    value = Limited(mean, mean - half, mean + half)
    return Density("dry_tundra", "CH4", value, draws_of(value, DRAWS, 7, "density"), "made")


def test_a_product_has_the_variance_of_a_product() -> None:
    half = norm.ppf(0.975) * 0.2
    found = class_flux(Limited(2.0, 2.0 - half, 2.0 + half), density(3.0, 0.3), 1)
    assert found.flux.mean == 6.0
    sd = np.sqrt((2 * 0.3) ** 2 + (3 * 0.2) ** 2 + (0.2 * 0.3) ** 2)
    np.testing.assert_allclose((found.flux.high - found.flux.low) / (2 * norm.ppf(0.975)), sd, rtol=0.02)
    np.testing.assert_allclose(found.of_density, 2.0 * np.array(found.density.value))
    np.testing.assert_allclose(found.of_area, [6.0, 3 * (2 - half), 3 * (2 + half)])
    sink = class_flux(Limited(2.0, 1.5, 2.5), density(-3.0, 0.0), 1)
    np.testing.assert_allclose(sink.of_area, [-6.0, -7.5, -4.5])


@pytest.mark.parametrize("gas", ["CO2", "CH4", "N2O"])
def test_published_densities_times_published_areas_are_the_published_fluxes(gas: str) -> None:
    areas, found = published_areas(), published_densities(gas, 1000, 0)
    made = {
        post.id: post for post in posts([class_flux(areas[n], found[n], 0) for n in LAND], REGION, PERIOD)
    }
    from talik.posts.published import components

    for printed in components():
        if printed.gas == gas and printed.id in made and printed.id.split(".")[1] in LAND:
            mine = made[printed.id]
            np.testing.assert_allclose(
                (mine.mean, mine.low, mine.high), (printed.mean, printed.low, printed.high)
            )
            assert mine.area_mkm2 == printed.area_mkm2
            assert (mine.part_of, mine.covers) == (printed.part_of, printed.covers)
    uplands = [made[f"inventory.{name}"] for name in ("boreal_forest", "dry_tundra")]
    np.testing.assert_allclose(made["inventory.uplands"].low, sum(post.low for post in uplands))


def test_posts_want_all_classes_of_one_gas() -> None:
    areas, found = published_areas(), published_densities("CH4", 1000, 0)
    some = [class_flux(areas[name], found[name], 0) for name in list(LAND)[:4]]
    with pytest.raises(InputError, match="posts need one gas and the classes boreal_forest"):
        posts(some, REGION, PERIOD)


def settings(**given: Any) -> InventorySettings:
    return InventorySettings.model_validate({"draws": 1000, **given})


def test_the_published_inventory_reproduces_the_published_sums(tmp_path: Path) -> None:
    found = run(settings(), Path, 0)
    total = found["gases"]["CO2"]["total"]
    # the sums of the classes as printed: -338.9 (-836.8, 156.8), 26.0 (14.4, 36.5), 0.55 (-0.03, 1.14)
    np.testing.assert_allclose([total["mean"], *total["linear"]], [-338.85, -836.8, 156.83], atol=0.06)
    for gas, expected in (("CH4", [26.0, 14.4, 36.5]), ("N2O", [0.55, -0.03, 1.14])):
        total = found["gases"][gas]["total"]
        np.testing.assert_allclose([total["mean"], *total["linear"]], expected, atol=0.011)


def test_a_class_that_no_source_has_is_named() -> None:
    with pytest.raises(
        InputError, match=r"densities\.CH4: no source has permafrost-free wetland, permafrost bog"
    ):
        run(settings(densities={"CH4": ["printed growing season"]}), Path, 0)
    areas = {name: [1.0, 1.0, 1.0] if name in ("boreal_forest", "dry_tundra") else [0.0] * 3 for name in LAND}
    found = run(
        settings(densities={"CH4": ["printed growing season"]}, areas={"classes": areas}, area_mkm2=2.0),
        Path,
        0,
    )
    np.testing.assert_allclose(found["gases"]["CH4"]["total"]["mean"], 0.4267 - 0.1235, atol=1e-4)
    del areas["permafrost_bog"]
    with pytest.raises(InputError, match=r"areas\.classes: no area of permafrost_bog"):
        run(settings(areas={"classes": areas}, area_mkm2=2.0), Path, 0)


def test_gas_mass_in_a_table_is_refused_before_it_becomes_a_post(tmp_path: Path) -> None:
    rows = ["class,gas,season,mean,low,high,units,source"]
    for name, d in published_densities("CH4", 1000, 0).items():
        wrong = ",".join(str(v * 16.043 / 12.011) for v in d.value)
        rows.append(f"{name},CH4,year,{wrong},g CH4-C m-2 yr-1,me")
    (tmp_path / "d.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match="look like mass of CH4, not of C"):
        run(settings(densities={"CH4": [{"table": str(tmp_path / "d.csv")}]}), Path, 0)


def test_real_sites_give_the_published_wetlands(shared: Path) -> None:
    table = shared / "data" / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
    sources = [{"growing_season": str(table)}, "printed growing season"]
    beside = {"CH4": {"published": ["published"]}}
    found = run(settings(densities={"CH4": sources}, beside=beside, draws=4000), Path, 0)["gases"]["CH4"]
    mine = {row["class"]: row for row in found["classes"]}
    for row in found["beside"]["published"]["classes"]:
        one = mine[row["class"]]
        # the recipe chosen here returns the published densities to 6 %
        np.testing.assert_allclose(one["density_g_m2_yr"]["mean"], row["density_g_m2_yr"]["mean"], rtol=0.06)
    values = {name: mine[name]["values"] for name in mine if mine[name]["values"]}
    assert values == {"permafrost_free_wetland": 228, "permafrost_bog": 80, "tundra_wetland": 109}
    np.testing.assert_allclose(found["total"]["mean"], 26.1, atol=0.1)


def test_on_the_cells_with_sites_areas_come_from_cover_and_sites_are_colder(shared: Path) -> None:
    folder = shared / "data" / "bawld-ch4-wetlands"
    sites = {
        "growing_season": str(folder / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz"),
        "pooling": "area",
    }
    wanted = settings(
        areas={"cover": sites["growing_season"]},
        densities={"CH4": [sites, "printed growing season"]},
        region="cells with sites",
        area_mkm2=0.1015,
    )
    found = run(wanted, Path, 0)
    areas = found["areas_mkm2"]
    np.testing.assert_allclose(sum(area["mean"] for area in areas.values()), 0.101456, rtol=1e-4)
    np.testing.assert_allclose(areas["tundra_wetland"]["mean"], 0.00426, rtol=0.01)
    assert areas["tundra_wetland"]["low"] < areas["tundra_wetland"]["mean"] < areas["tundra_wetland"]["high"]
    difference = {row["land"]: row["difference_K"] for row in found["sampling"]["climate"]}
    # docs/science/inventory.md
    expected = {"permafrost_free_wetland": -1.8, "permafrost_bog": -1.2, "tundra_wetland": -0.4}
    assert {name: round(value, 1) for name, value in difference.items()} == expected
    analysis = found["synthesis"]["annual"]["sites"]["analysis"]
    assert (analysis["values"], analysis["terms"][0]["df"], analysis["residual_df"]) == (32, 4, 26)


def test_annual_fluxes_of_sites_are_a_source_of_their_own(shared: Path) -> None:
    table = str(shared / "data" / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz")
    found = run(settings(densities={"CH4": [{"annual": table}, "published"]}), Path, 0)["gases"]["CH4"][
        "classes"
    ]
    by_class = {row["class"]: row for row in found}
    assert by_class["permafrost_bog"]["values"] == 12
    # 0.67 g CH4 m-2 yr-1
    np.testing.assert_allclose(
        by_class["permafrost_bog"]["density_g_m2_yr"]["mean"], 0.67 * 12.011 / 16.043, rtol=0.01
    )
    with pytest.raises(ConfigError, match="annual is a table of CH4"):
        run(settings(densities={"CO2": [{"annual": table}]}), Path, 0)


def test_area_weights_need_a_cover_grid(shared: Path) -> None:
    table = shared / "data" / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
    source = {"growing_season": str(table), "pooling": "area"}
    with pytest.raises(ConfigError, match=r"Give areas.cover"):
        run(settings(densities={"CH4": [source, "published"]}), Path, 0)


def test_real_towers_give_a_year_of_co2(shared: Path) -> None:
    table = str(shared / "data" / "abcflux-v2-apr2024" / "site_months_mean.parquet")
    found = run(settings(densities={"CO2": [{"months": table}, "published"]}), Path, 0)
    places = {row["land"]: row for row in found["sampling"]["CO2"]}
    assert (places["boreal_forest"]["sites"], round(places["boreal_forest"]["southernmost"])) == (30, 56)
    boreal = found["gases"]["CO2"]["classes"][0]
    bog = next(row for row in found["gases"]["CO2"]["classes"] if row["class"] == "permafrost_bog")
    assert "printed" in bog["source"], "three sites are too few"
    whole = run(settings(densities={"CO2": [{"months": table, "whole_years": True}, "published"]}), Path, 0)
    assert whole["gases"]["CO2"]["classes"][0]["sites"] == 25
    assert (boreal["class"], boreal["sites"]) == ("boreal_forest", 30)
    # the published density of boreal forest is -30 (-60, -0.1)
    assert boreal["density_g_m2_yr"]["low"] < -30.0 < boreal["density_g_m2_yr"]["high"]
    with pytest.raises(InputError, match="no row of 1900-1910 north of 55 N"):
        run(settings(densities={"CO2": [{"months": table, "years": [1900, 1910]}]}), Path, 0)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="give cover or classes, not both"):
        settings(areas={"cover": "a.csv", "classes": {}})
    with pytest.raises(ValueError, match="class 'taiga' is unknown"):
        settings(seasons={"CH4": {"taiga": {"days": 100}}})


def test_the_posts_file_makes_a_budget_and_is_audited(tmp_path: Path) -> None:
    import json

    from talik.inventory.section import _posts
    from talik.workflow.unit import Job

    made = tmp_path / "inventory.json"
    made.write_text(json.dumps(run(settings(), Path, 0)))
    _posts(Job("posts", tmp_path / "posts.yaml", {"inventory": {"inventory": made}}))
    content = read_posts(tmp_path / "posts.yaml")
    done = audit(content.posts, content.claims)
    # printed fires, which the file takes as published, are mass of the gas
    assert done.checked == 18
    assert [(f.id, f.gas) for f in done.findings] == [("inventory.fires", "CH4"), ("inventory.fires", "N2O")]
    # the published inventory gives the published budget, but for sums that are printed rounded
    mine = compute(tmp_path / "posts.yaml", BudgetSettings(draws=1000)).evaluation.posts
    printed = compute("reccap2", BudgetSettings(draws=1000)).evaluation.posts
    for gas, apart in (("CO2", 1.5), ("CH4", 0.5), ("N2O", 0.01)):
        key = ("bottom_up.natural", gas)
        np.testing.assert_allclose(mine[key].mean, printed[key].mean, atol=apart)
        np.testing.assert_allclose(mine[key].high, printed[key].high, atol=2 * apart)
