"""The published table against the words of the specification, where it is at hand, and against the budget posts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from talik.errors import ConfigError
from talik.posts.published import components
from talik.posts.published_numbers import published, published_numbers, published_table


def test_every_number_stands_in_its_section_of_the_specification(shared: Path) -> None:
    text = (shared / "spec" / "inventory.md").read_text(encoding="utf-8").replace("1,800", "1800")
    sections = {
        int(part.split(".", 1)[0]): set(re.findall(r"-?\d+(?:\.\d+)?", part))
        for part in text.split("\n## ")[1:]
    }
    own = [n for n in published_numbers() if not n.post]
    assert len(own) > 25
    for number in own:
        for value in (number.value, number.low, number.high):
            if value is not None:
                printed = {f"{value:g}", f"{abs(value):g}", f"-{abs(value):g}"}
                assert printed & sections[number.section], (number.id, value)


def test_numbers_of_posts_are_those_of_the_posts() -> None:
    posts = {"/".join(p.key): p for p in components()}
    held = [n for n in published_numbers() if n.post]
    assert {n.post for n in held} >= {"process.nee_fire/CO2", "inversion.natural/CO2"}
    for number in held:
        post = posts[number.post]
        assert (number.value, number.low, number.high, number.unit) == (
            post.mean,
            post.low,
            post.high,
            post.unit,
        )
    fire = published("process.nee_fire")
    assert (fire.value, fire.low, fire.high) == (-350, -1040, -150)


def test_values_lie_within_limits_and_ids_are_unique() -> None:
    table = published_table()
    assert table["id"].is_unique
    with_limits = table.dropna(subset=["low", "high"])
    assert (with_limits["low"] < with_limits["high"]).all()
    assert (with_limits["limits"] != "").all()
    within = with_limits.dropna(subset=["value"])
    assert within["value"].between(within["low"], within["high"]).all()
    assert table[["value", "low"]].notna().any(axis=1).all()
    assert published("nee.range").paper.startswith("Treat et al. 2024")


def test_decades_of_inversions_weighted_by_years_give_the_long_mean() -> None:
    first, second = published("inversion.co2_first_decade"), published("inversion.co2_second_decade")
    assert first.value is not None
    assert second.value is not None
    assert round((10 * first.value + 11 * second.value) / 21) == published("inversion.co2").value


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"'nee\.mars' is unknown; choose one of: nee\.western_canada, "):
        published("nee.mars")
