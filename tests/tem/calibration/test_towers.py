"""Towers: the published ones against the tables they come from, a user's own, and their rows in a table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from talik.errors import ConfigError, InputError
from talik.tem.calibration.towers import PUBLISHED_TOWERS, Tower, read_towers, rows_of

BOG = {"site": "XX-Bog", "lat": 65.0, "lon": 25.0, "community": "wet_tundra"}
YAML = """
towers:
  - site: XX-Bog
    lat: 65.0
    lon: 25
    community: wet_tundra
    texture: [40, 40, 20]
    calibration: [2004, 2006]
    left_out: [2007, 2008]
  - {site: XX-Fen, lat: 66.5, lon: -20.25, community: boreal_forest, ids: [the fen]}
"""


def test_published_towers_stand_where_the_tables_say(shared: Path) -> None:
    sites = pd.read_csv(shared / "data/fluxnet2015-cardamom/sites.csv").set_index("site")
    v2 = pd.read_parquet(shared / "data/abcflux-v2-apr2024/site_months.parquet")
    for tower in PUBLISHED_TOWERS:
        if tower.site in sites.index:
            place = sites.loc[tower.site, ["lat", "lon"]].tolist()
        else:
            place = v2.loc[v2["site_reference"] == tower.site, ["latitude", "longitude"]].iloc[0].tolist()
        assert (tower.lat, tower.lon) == pytest.approx(place, abs=2e-3)


def test_published_years_are_those_of_the_paper_and_what_tables_hold() -> None:
    years = {t.site: (t.years("calibration"), t.years("left_out")) for t in PUBLISHED_TOWERS}
    assert years == {
        "US-Prr": ((2011, 2012), (2013, 2014)),
        "US-Atq": ((2004, 2006), (2007, 2008)),
        "GL-ZaH": ((2006, 2008), (2009, 2011)),
        "RU-SkP": (None, (2005, 2010)),
        "US-Ivo": (None, (2004, 2007)),
        "CN-Dan": (None, (2004, 2005)),
    }


def test_a_users_own_towers(tmp_path: Path) -> None:
    path = tmp_path / "towers.yaml"
    path.write_text(YAML)
    bog, fen = read_towers(path)
    assert bog.lon == 25.0
    assert bog.texture == (40.0, 40.0, 20.0)
    assert (bog.years("calibration"), bog.years("left_out")) == ((2004, 2006), (2007, 2008))
    assert fen.ids == ("the fen",)
    assert fen.elevation_m is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("towers:", "sites:", r"expected one key `towers`"),
        ("lat: 65.0", "lat: 95.0", r"tower 1\.lat: .*found 95"),
        ("lat: 65.0", "lat: north", r"tower 1\.lat: .*found 'north'"),
        ("lat: 65.0", "latitude: 65.0", r"2 problems(?s:.*)tower 1\.lat: Field required"),
        ("wet_tundra", "bog", r"tower 1\.community: .*expected one of alpine_tundra.*found 'bog'"),
        ("[40, 40, 20]", "[40, 40, 30]", r"tower 1\.texture: .*sum to 110; expected 100"),
        ("[2007, 2008]", "[2006, 2008]", r"tower 1: .*share years"),
        ("[2004, 2006]", "[2006, 2004]", r"tower 1: .*run backwards"),
        ("XX-Fen", "XX-Bog", r"XX-Bog: given 2 times"),
    ],
)
def test_what_is_wrong_with_a_file_of_towers_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "towers.yaml"
    path.write_text(YAML.replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        read_towers(path)
    assert str(path) in str(caught.value)


def test_a_tower_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Tower(**BOG).lat = 60.0


def test_rows_are_found_by_code_inside_a_name_or_by_ids() -> None:
    rows = pd.DataFrame(
        {"site_id": ["XX-Bog", "Old bog | XX-Bog2", "Fen | XX-Fen", "XX-Fen"], "nee": range(4)}
    )
    assert rows_of(Tower(**BOG), rows)["nee"].tolist() == [0]
    fen = {**BOG, "site": "XX-Fen"}
    assert rows_of(Tower(**fen, ids=("Fen | XX-Fen",)), rows)["nee"].tolist() == [2]
    assert rows_of(Tower(**fen, ids=("elsewhere",)), rows).empty
    with pytest.raises(
        InputError, match=r"XX-Fen: the table has 2 sites of this code: Fen \| XX-Fen, XX-Fen"
    ):
        rows_of(Tower(**fen), rows)
