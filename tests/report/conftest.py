"""Budgets to draw."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from talik.budget import BudgetSettings, compute

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


@pytest.fixture(scope="session")
def published():
    """The built-in budget, with few draws."""
    return compute("reccap2", BudgetSettings(draws=20_000))


@pytest.fixture
def hostile_text() -> str:
    """Text that would break a page that does not escape it."""
    return HOSTILE


@pytest.fixture
def hostile(tmp_path):
    """A user's budget whose texts try to break the page."""
    path = tmp_path / "posts.yaml"
    text = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    path.write_text(
        "posts:\n"
        + "".join(
            f'  - {{id: {name}, gas: {gas}, mean: {mean}, low: {mean - 1}, high: {mean + 2}, unit: "{unit}", '
            f'region: "{text}", period: 2000-2020, approach: inventory, source: "{text}", note: "{text}"}}\n'
            for name, gas, mean, unit in (
                (
                    "a_very_long_identifier_that_nobody_would_want_to_type_twice.with_a_second_part",
                    "CO2",
                    3,
                    "Tg CO2-C yr-1",
                ),
                ("b", "CO2", -3, "Tg CO2-C yr-1"),
                ("c", "CH4", 1e-9, "Tg CH4-C yr-1"),
                ("d", "N2O", 5e6, "Tg N2O-N yr-1"),
            )
        )
    )
    return compute(path, BudgetSettings(posts=str(path), draws=2000))


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """The output folder of a small project with towers, two products and a budget."""
    from made_project import made

    from talik.workflow import load_project, run_project

    path = made(tmp_path_factory.mktemp("made"))
    result = run_project(load_project(path), workers=1)
    assert not result.failed, result.failed
    return path.parent / "output"
