"""Makes the small worlds of `world.py` importable in whatever way tests are collected."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def world():
    spec = importlib.util.spec_from_file_location("products_world", Path(__file__).with_name("world.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
