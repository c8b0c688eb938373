"""Named rules: what they keep, what they count, what they refuse."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError
from talik.sources.filters import PUBLISHED, RULES, apply_rules, average_duplicates

ROWS = pd.DataFrame(
    [
        ("Lund_Kobbefjord_Ch", 2010, 7, "Chamber", None, "Day", "Larval Outbreak", -376.0, None, None),
        ("Goulden_CA-NS2_tower1", 2002, 1, "EC", "Reichstein", "Day and Night", "No", 3.0, 1.0, 4.0),
        ("Goulden_CA-NS2_tower1", 2002, 2, "EC", "Reichstein", "Day and Night", "Fire", 3.0, 1.0, 4.0),
        ("Goulden_CA-NS3_tower1", 2002, 1, "EC", "Lasslop", "Day and Night", "No", 3.0, 1.0, 4.0),
        ("McCaughey_CA-Man_tower1", 1997, 1, "EC", None, "Day and Night", None, 3.0, None, 4.0),
        ("McCaughey_CA-Man_tower1", 1997, 2, "EC", None, "Day and Night", "Harvest", 3.0, 1.0, 4.0),
        ("McCaughey_CA-Man_tower1", 1997, 3, "EC", None, "Day and Night", "Thermokarst", 3.0, 1.0, 4.0),
        ("McCaughey_CA-Man_tower1", 2005, 7, "EC", None, "Day and Night", "no", 3.0, 1.0, 4.0),
        ("Snow", 2003, 1, "Diffusion", None, "Day", "NA ", 3.0, 1.0, 4.0),
    ],
    columns=[
        "site_id",
        "year",
        "month",
        "flux_method",
        "partition_method",
        "diurnal_coverage",
        "disturbance",
        "nee",
        "gpp",
        "reco",
    ],
)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("larval-outbreak", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("bad-months-ca-ns2", [0, 2, 3, 4, 5, 6, 7, 8]),
        ("bad-months-ca-ns3", [0, 1, 2, 4, 5, 6, 7, 8]),
        ("bad-months-ca-man", [0, 1, 2, 3, 6, 8]),
        ("no-diffusion", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("published", [2, 6]),
        ("ec", [1, 2, 3, 4, 5, 6, 7]),
        ("reichstein", [1, 2]),
        ("day-and-night", [1, 2, 3, 4, 5, 6, 7]),
        ("all-fluxes", [1, 2, 3, 5, 6, 7, 8]),
        ("undisturbed", [1, 3, 4, 7, 8]),
        ("undisturbed-or-fire", [1, 2, 3, 4, 7, 8]),
        ("undisturbed-or-harvest", [1, 3, 4, 5, 7, 8]),
        ("undisturbed-or-thermokarst", [1, 3, 4, 6, 7, 8]),
    ],
)
def test_rules(name, kept):
    rows, dropped = apply_rules(ROWS, [name])
    pd.testing.assert_frame_equal(rows, ROWS.iloc[kept].reset_index(drop=True))
    assert sum(count for _, count in dropped) == len(ROWS) - len(kept)
    assert all(reason.startswith(PUBLISHED if name == "published" else name) for reason, _ in dropped)


def test_complete_cases_looks_at_the_predictors_there_are():
    rows = ROWS.assign(ndvi=[0.1] * 8 + [None], tair=None)
    kept, dropped = apply_rules(rows, ["complete-cases"])
    assert len(kept) == 8
    assert dropped == (("complete-cases: a predictor of the table missing", 1),)


@given(st.lists(st.sampled_from([n for n in RULES if n not in ("reichstein", "undisturbed")]), max_size=4))
def test_every_row_is_kept_or_counted(names):
    rows = pd.concat([ROWS, ROWS.iloc[[2]].assign(disturbance=None)])
    kept, dropped = apply_rules(rows, names)
    assert len(kept) + sum(count for _, count in dropped) == len(rows)
    assert all(count > 0 for _, count in dropped)
    again, none = apply_rules(kept, names)
    assert len(again) == len(kept)
    assert none == ()


def test_refusals():
    with pytest.raises(
        ConfigError, match="filter 'night' is unknown; choose one of published, larval-outbreak"
    ):
        apply_rules(ROWS, ["night"])
    with pytest.raises(InputError, match="filter ec needs column flux_method"):
        apply_rules(ROWS.drop(columns="flux_method"), ["ec"])
    with pytest.raises(InputError, match="no row is left after ec, no-diffusion"):
        apply_rules(ROWS.iloc[[0]], ["ec", "no-diffusion"])


def test_duplicates_are_averaged():
    rows = pd.DataFrame(
        {
            "site_id": ["A", "B", "A", "A", "A"],
            "year": [2001, 2001, 2001, None, None],
            "month": [1, 1, 1, 1, 1],
            "nee": [2.0, 7.0, 4.0, 1.0, 3.0],
            "gpp": [None, 7.0, 4.0, 1.0, 3.0],
            "biome": ["Tundra", "Boreal", None, None, None],
        }
    )
    out, dropped = average_duplicates(rows)
    assert dropped == (("averaged with another row of the same site and month", 1),)
    assert sorted(out["nee"]) == [1, 3, 3, 7]
    merged = out[(out["site_id"] == "A") & out["year"].notna()].iloc[0]
    assert (merged["nee"], merged["gpp"], merged["biome"]) == (3, 4, "Tundra")
    once, none = average_duplicates(out)
    assert none == ()
    assert len(once) == 4
