"""Posts of process models: sign, limits, layered models, dropped members, units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.ensembles.process_posts import process_posts
from talik.ensembles.statistics import summarise_members


def table(values: dict[str, dict[str, float]], units: str = "Tg year-1") -> pd.DataFrame:
    """Constant years 1990 to 1999 of each model and variable."""
    rows = [
        {
            "model": model,
            "region": "north",
            "scenario": "historical",
            "year": year,
            "variable": variable,
            "value": value,
            "units": units,
        }
        for model, fluxes in values.items()
        for variable, value in fluxes.items()
        for year in range(1990, 2000)
    ]
    return pd.DataFrame(rows)


def members(models: dict[str, tuple[bool, bool]]) -> pd.DataFrame:
    rows = [
        {"model": m, "family": m, "group": m, "project": "P", "layered": layered, "fire": fire}
        for m, (layered, fire) in models.items()
    ]
    return pd.DataFrame(rows)


FLUXES = {
    "A": {"npp": 500.0, "rh": 400.0, "fFire": 20.0, "fch4": 10.0},
    "B": {"npp": 600.0, "rh": 450.0, "fFire": 40.0, "fch4": 14.0},
    "C": {"npp": 450.0, "rh": 400.0},
    "D": {"npp": 480.0, "rh": 410.0},
}
KINDS = {"A": (True, True), "B": (True, True), "C": (False, False), "D": (False, False)}


def posts_of(values=FLUXES, units="Tg year-1", **options):
    summary = summarise_members(table(values, units), members(KINDS), **options)
    notes: list[str] = []
    return {p.id: p for p in process_posts(summary, "north", notes)}, notes


def test_uptake_is_negative_and_limits_are_those_of_members():
    posts, notes = posts_of()
    nee = posts["process.nee"]
    values = -np.array([100.0, 150.0, 50.0, 70.0])
    assert nee.mean == pytest.approx(values.mean())
    assert (nee.low, nee.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert (nee.unit, nee.period, nee.members) == ("Tg CO2-C yr-1", "1990-1999", 4)
    assert posts["process.nee_layered"].mean == pytest.approx(-125.0)
    assert posts["process.nee_layered"].members == 2
    assert notes == []


def test_fire_counts_only_where_it_is_simulated():
    posts, _ = posts_of()
    assert posts["process.nee_fire"].mean == pytest.approx(-95.0)
    assert posts["process.fire"].mean == pytest.approx(30.0)
    assert posts["process.fire"].part_of == "process.nee_fire"
    assert "fire" in posts["process.nee_fire"].covers
    assert "fire" not in posts["process.nee"].covers
    ch4 = posts["process.wetland_ch4"]
    assert (ch4.gas, ch4.mean, ch4.unit, ch4.origin) == ("CH4", 12.0, "Tg CH4-C yr-1", "non-fossil")


def test_pg_become_tg():
    posts, _ = posts_of({m: {v: x / 1000.0 for v, x in f.items()} for m, f in FLUXES.items()}, "Pg year-1")
    assert posts["process.nee"].mean == pytest.approx(-92.5)


def test_a_dropped_member_is_in_no_post():
    values = {**FLUXES, "D": {"npp": 48_000.0, "rh": 41_000.0}}
    kept, _ = posts_of(values)
    left, _ = posts_of(values, outlier="drop")
    assert kept["process.nee"].members == 4
    assert left["process.nee"].members == 3
    assert left["process.nee"].mean == pytest.approx(-100.0)


def test_one_member_has_no_limits_and_a_region_must_be_there():
    values = {k: v for k, v in FLUXES.items() if k in ("A", "C")}
    summary = summarise_members(table(values), members({k: KINDS[k] for k in values}))
    notes: list[str] = []
    posts = {p.id for p in process_posts(summary, "north", notes)}
    assert posts == {"process.nee"}
    assert any("process.fire: 1 member" in note for note in notes)
    assert process_posts(summary, "south", notes) == []
    assert "no region 'south'" in notes[-1]
