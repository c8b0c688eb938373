"""Samplers that share no code agree on the posterior of DALEC (T5), and the reference's sampler stands near it (T7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.science.commands import printed_json

pytestmark = pytest.mark.science

FLUXES = ("gpp", "npp", "rh", "nee", "fire", "nbe")


@pytest.fixture(scope="module")
def found() -> Mapping[str, Any]:
    """What the benchmark prints at the size of a test."""
    return printed_json("benchmarks.fusion_samplers", "small")


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
