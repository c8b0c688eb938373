"""Calibration and recovery at the size of a test: twins of two years and few short chains; JSON on the last line."""

from __future__ import annotations

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.fusion_calibration import (
    CLIMATES,
    SEED,
    SWITCHES,
    drawn,
    first,
    inferred,
    options,
    pixels,
    repeated,
    turned,
)
from benchmarks.fusion_calibration_told import against_prior, ranks_of, recovery, together, verdict
from talik.convergence import rhat
from talik.fusion.infer import sample
from talik.fusion.posterior import block_data
from talik.fusion.prior_draws import weighted_prior
from talik.fusion.settings import Sampler
from talik.fusion.twin import climate_drivers, without_values

YEARS, TWINS = 2, 20
SAMPLER = Sampler(chains=4, warmup=125, draws=125, rounds=1, particles=24)
RIGHT, WRONG = 2, 1
"""Blocks with errors assumed as they are, and half as large."""
LONGER = SAMPLER.model_copy(update={"rounds": 2})
MILD = CLIMATES[1]
"""Where importance finds many draws of the prior."""
WORTH, PROPOSALS = 30, 1_000_000
"""Effective draws of the prior, and proposals at most."""


def small() -> dict[str, Any]:
    """Truths are draws of the posterior of the first observations, sampled in as many equal pixels as a block has."""
    twin = first(YEARS)
    copies = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), TWINS, axis=-1), twin.observations)
    data = block_data(repeated(twin.drivers, TWINS), copies)
    found = sample(data, twin.axis, pixels("first", TWINS), options(SAMPLER))
    values = found.seen.values.reshape(-1, *found.seen.values.shape[2:])
    theta = drawn(found.seen.theta, found.log_weights, (RIGHT + WRONG) * TWINS)
    told: dict[str, Any] = {
        "rhat of first": float(np.nanmax(rhat(values))),
    }
    for name, blocks, sd_factor, band in (
        ("right", range(RIGHT), 1.0, 0.01),
        ("wrong", range(RIGHT, RIGHT + WRONG), 0.5, 0.05),
    ):
        parts = [inferred(twin, theta[:, b * TWINS : (b + 1) * TWINS], b, sd_factor, SAMPLER) for b in blocks]
        whole = together(parts)
        told[name] = {
            "verdict": verdict(ranks_of(whole), band),
            "recovery": recovery(whole),
            "rhat": np.quantile(whole["rhat"], (0.5, 0.9, 1.0)).tolist(),
            "seconds": whole["seconds"].tolist(),
        }
    there = repeated(climate_drivers(twin.axis, [MILD], SEED), TWINS)
    blank = block_data(there, without_values(copies))
    found = sample(blank, twin.axis, pixels("nothing", TWINS), options(LONGER))
    values = turned(found.seen.values).reshape(-1, *found.seen.values.shape[2:])
    logs = found.log_weights.reshape(-1, values.shape[1])
    prior = weighted_prior(blank.pixel(0), SWITCHES, 1, WORTH, PROPOSALS)
    told["nothing"] = {
        "p": against_prior(values, logs, prior.theta, prior.weights),
        "rhat": float(np.nanmax(rhat(values))),
        "prior": prior.effective,
        "kept": found.kept.mean().item(),
    }
    return told


if __name__ == "__main__":
    print(json.dumps(small()))
