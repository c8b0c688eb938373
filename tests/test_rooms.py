"""Imports between the rooms of the package point inward, and no approach imports another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import talik

ROOT = Path(talik.__file__).parent
APPROACHES = ("upscaling", "inventory", "tem", "fusion", "ensembles")
INWARD = ("flux", "posts", "regions", "sources", "products", "trends", "compare")
"""From the inside out; a room may import those before it."""
SIDEWAYS = {("compare", "report"), ("compare", "workflow"), ("trends", "workflow")}
"""Pages and steps of a section stand in its room."""


def rooms_imported_by(room: str) -> set[str]:
    found = set()
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            found |= {n.split(".")[1] for n in names if n.startswith("talik.")}
    return found - {room}


@pytest.mark.parametrize("approach", [a for a in APPROACHES if (ROOT / a).is_dir()])
def test_no_approach_imports_another(approach: str):
    assert rooms_imported_by(approach).isdisjoint(APPROACHES)


@pytest.mark.parametrize("room", INWARD)
def test_imports_point_inward(room: str):
    outer = {*INWARD[INWARD.index(room) + 1 :], *APPROACHES, "budget", "report", "workflow", "cli"}
    allowed = {other for one, other in SIDEWAYS if one == room}
    assert rooms_imported_by(room) & outer <= allowed
