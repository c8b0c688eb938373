"""From files to columns and forcing: shares, blocks, neighbours in time, changed parameters."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import InputError
from talik.tem import communities
from talik.tem.inputs import Climate, Columns, parameters_of, read_columns, read_run
from talik.tem.section import files_of
from talik.workflow.project import load_project

_spec = importlib.util.spec_from_file_location("tem_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)


def columns_of(per_cell: list[int]) -> Columns:
    """Cells with so many columns of equal share."""
    cell = np.repeat(np.arange(len(per_cell)), per_cell)
    share = np.repeat(1.0 / np.maximum(per_cell, 1), per_cell)
    one, place = np.ones(cell.size), np.arange(len(per_cell), dtype=float)
    return Columns(place, -place, place, cell, ("wet_tundra",) * cell.size, share, one, one, one, one)


def opened(folder: Path, **tem: Any) -> tuple[Any, Any, Columns]:
    project = load_project(world.project(folder, **tem))
    settings = project.sections["tem"]
    files = files_of(project, settings)
    return settings, files, read_columns(settings, files.paths("land"))


def read(folder: Path, **tem: Any) -> tuple[Columns, Climate]:
    settings, files, columns = opened(folder, **tem)
    return columns, read_run(settings, files, columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.files(tmp_path_factory.mktemp("world"))


@given(st.lists(st.integers(1, 2), min_size=1, max_size=40), st.integers(1, 50))
def test_blocks_part_the_cells(per_cell: list[int], size: int) -> None:
    columns = columns_of(per_cell)
    blocks = columns.blocks(size)
    assert [c for b in blocks for c in b] == list(range(len(per_cell)))
    parts = [columns.part(b) for b in blocks]
    assert sum(p.cell.size for p in parts) == columns.cell.size
    for block, part in zip(blocks, parts, strict=True):
        assert part.cell.size <= size or len(block) == 1
        np.testing.assert_array_equal(
            part.cell + block.start, np.repeat(block, per_cell[block.start : block.stop])
        )
        np.testing.assert_array_equal(part.lat, block)
    for part, following in pairwise(parts):
        assert part.cell.size + np.sum(following.cell == 0) > size  # no block ends before it must


@given(st.lists(st.integers(1, 3), min_size=1, max_size=12), st.integers(0, 99))
def test_the_mean_of_a_cell_is_that_of_its_columns(per_cell: list[int], seed: int) -> None:
    columns = columns_of(per_cell)
    values = np.random.default_rng(seed).normal(size=(2, 5, columns.cell.size))
    share = np.random.default_rng(seed).uniform(0.1, 1, columns.cell.size)
    values[0, 0, columns.cell == 0] = np.nan
    found = replace(columns, share=share).mean(values)
    for k in range(len(per_cell)):
        mine = columns.cell == k
        expected = sum(share[i] * values[..., i] for i in np.flatnonzero(mine))
        np.testing.assert_allclose(found[..., k], expected, rtol=1e-14, atol=1e-14)


def test_columns_of_the_small_world(folder: Path) -> None:
    _, _, columns = opened(folder)
    assert columns.lat.size == 8
    assert (66.75, -150.75) not in set(zip(columns.lat, columns.lon, strict=True))  # ice
    both = int(np.flatnonzero((columns.lat == 66.75) & (columns.lon == -150.25))[0])
    held = {columns.community[i]: columns.share[i] for i in np.flatnonzero(columns.cell == both)}
    assert held == {"boreal_forest": 0.5, "wet_tundra": 0.5}
    assert columns.notes == ("1 of 9 cells are ice and are left out",)
    assert np.bincount(columns.cell).tolist() == [1, 1, 1, 2, 1, 1, 1, 1]
    west = columns.lon[columns.cell] == -150.75
    assert set(columns.sand[west]) == {45.0}
    assert set(columns.elevation[west]) == {300.0}


def test_forcing_by_hand(folder: Path) -> None:
    """Units, order of months, and the months before and after: against the values that were written."""
    columns, climate = read(folder, period=[2002, 2004])
    held = world.fields(84)
    at = [(int(np.flatnonzero(a == world.LAT)[0]), int(np.flatnonzero(o == world.LON)[0]))
          for a, o in zip(columns.lat[columns.cell], columns.lon[columns.cell], strict=True)]  # fmt: skip
    tas = np.stack([held["tas"][:, i, j] - 273.15 for i, j in at], axis=1)
    rain = np.stack([held["pr"][:, i, j] for i, j in at], axis=1)
    days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    middle = climate.forcing(2003)
    np.testing.assert_allclose(middle.tair, tas[23:37], atol=1e-12)
    np.testing.assert_allclose(middle.precip, rain[24:36] * 86400 * np.array(days)[:, None], rtol=1e-12)
    np.testing.assert_allclose(
        climate.forcing(2004).precip[1], rain[37] * 86400 * 29, rtol=1e-12
    )  # a leap year
    first, last = climate.forcing(2002), climate.forcing(2004)
    np.testing.assert_allclose(first.tair[0], tas[23], atol=1e-12)  # borders on itself
    np.testing.assert_allclose(last.tair[13], tas[48], atol=1e-12)  # the files hold 2005-01
    assert float(last.co2) == 377.5
    told = climate.forcing(2002, before=np.full(9, -7.0))
    np.testing.assert_array_equal(told.tair[0], np.full(9, -7.0))
    loop = climate.window((2002, 2003), "x")
    np.testing.assert_allclose(loop.forcing(2002, loop=True).tair[0], tas[35], atol=1e-12)
    np.testing.assert_allclose(loop.forcing(2003, loop=True).tair[13], tas[12], atol=1e-12)
    mean = loop.mean().forcing(2002)
    np.testing.assert_allclose(mean.tair[1:13], (tas[12:24] + tas[24:36]) / 2, atol=1e-12)
    np.testing.assert_allclose(mean.tair[0], mean.tair[12])
    np.testing.assert_allclose(mean.tair[13], mean.tair[1])


def test_the_last_year_of_the_files_borders_on_itself(folder: Path) -> None:
    _, whole = read(folder, without=("period",))
    _, stated = read(folder, period=[2001, 2007])
    assert whole.january is None
    assert stated.january is None
    assert whole.years == stated.years == range(2001, 2008)
    np.testing.assert_array_equal(whole.forcing(2007).tair, stated.forcing(2007).tair)
    np.testing.assert_array_equal(whole.forcing(2007).tair[13], whole.tair[-1, 0])


def test_turned_axes_give_exactly_the_same(folder: Path, tmp_path: Path) -> None:
    """Longitudes 0..360 and latitudes that descend, in the climate, the land, or both."""
    world.files(tmp_path)
    south = {name: values[:, ::-1] for name, values in world.fields(84).items()}
    world.climate(tmp_path / "climate.nc", values=south, lat=world.LAT[::-1], lon=world.LON + 360)
    columns, expected = read(folder)
    for turn in (False, True):
        if turn:
            world.land(
                tmp_path / "land.nc", lat=world.LAT[::-1], lon=world.LON + 360, types=world.TYPES[::-1]
            )
        same, found = read(tmp_path)
        for name in ("lat", "lon", "cell", "share", "sand", "elevation"):
            np.testing.assert_array_equal(getattr(same, name), getattr(columns, name))
        assert same.community == columns.community
        for name in ("tair", "precip", "irradiance", "par", "co2", "january"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_table_that_ends_before_the_period(folder: Path, tmp_path: Path) -> None:
    rows = ["lat,lon,year,month,tas [degC],pr [mm month-1],rsds [W m-2]"]
    rows += [f"66.25,-150.75,{y},{m},-5,30,100" for y in (2001, 2002) for m in range(1, 13)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    table = {"climate": {"files": [str(tmp_path / "t.csv")]}, "cells": [[66.25, -150.75]]}
    _, climate = read(folder, **table, period=[2001, 2002])
    assert climate.years == range(2001, 2003)
    assert climate.january is None
    with pytest.raises(InputError, match=r"holds 2001\.\.2002 of the period 2001\.\.2004"):
        read(folder, **table, period=[2001, 2004])


def test_changed_parameters_reach_their_community_only(folder: Path) -> None:
    settings, files, columns = opened(
        folder,
        parameters={"wet_tundra": {"cfall": 0.02, "root_min": 1.5}},
        organic_soil={"boreal_forest": {"moss_m": 0.3, "snow_insulation": 2.0}},
        period=[2001, 2002],
    )
    climate = read_run(settings, files, columns)
    changed = parameters_of(columns, settings, climate)
    plain = parameters_of(columns, opened(folder)[0], climate)
    wet = np.array([name == "wet_tundra" for name in columns.community])
    forest = np.array([name == "boreal_forest" for name in columns.community])
    table = communities.parameters_for(columns.community)
    np.testing.assert_array_equal(changed.plants.cfall, np.where(wet, 0.02, table.cfall))
    np.testing.assert_array_equal(changed.plants.krb, table.krb)
    np.testing.assert_array_equal(changed.site.rooting_depth[wet], 1.5)
    np.testing.assert_array_equal(changed.site.rooting_depth[~wet], plain.site.rooting_depth[~wet])
    np.testing.assert_array_equal(changed.ground.moss_m, np.where(forest, 0.3, plain.ground.moss_m))
    np.testing.assert_array_equal(changed.snow_resistance, np.where(forest, 2.0, 1.0) * plain.snow_resistance)


def test_inputs_are_hashed(folder: Path) -> None:
    import hashlib

    _, climate = read(folder)
    assert climate.inputs == {"climate.nc": hashlib.sha256((folder / "climate.nc").read_bytes()).hexdigest()}
