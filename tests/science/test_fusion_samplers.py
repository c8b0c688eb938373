"""Samplers that share no code agree on the posterior of DALEC (T5), and the reference's sampler stands near it (T7)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.science

ROOT = Path(__file__).parents[2]
FLUXES = ("gpp", "npp", "rh", "nee", "fire", "nbe")


@pytest.fixture(scope="module")
def found() -> Mapping[str, Any]:
    """What `small` of the benchmark prints, with XLA as users have it: conftest.py asks for quick compiling."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fusion_samplers", "small"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("flux", FLUXES)
def test_gradients_and_differences_find_the_same_quantiles(found: Mapping[str, Any], flux: str) -> None:
    assert found[flux]["excess"] <= 1.0, found[flux]


def test_chains_agree_with_each_other(found: Mapping[str, Any]) -> None:
    assert found["rhat"] < 1.05


@pytest.mark.parametrize("flux", FLUXES)
def test_chains_of_the_reference_scatter_about_the_posterior(found: Mapping[str, Any], flux: str) -> None:
    """Short chains do not converge; the posterior's median lies within their own spread."""
    medians = np.array(found[flux]["ap_medians"])
    assert len(medians) >= 3, "chains that satisfied the constraints"
    spread = medians.std(ddof=1) * np.sqrt(1 + 1 / len(medians))
    assert abs(medians.mean() - found[flux]["hard"][2]) < 3 * spread
