"""Synthetic regions whose truth is known, with pixels that are inferred one by one."""

from __future__ import annotations

import numpy as np

from talik.fusion.dependence import chosen_sums, common_quantile, copula_sums, independent_sums, local_field
from talik.fusion.hierarchical import HyperPrior, population

LIMITS = (0.025, 0.975)


def haversine_km(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    phi, lam = np.radians(lat), np.radians(lon)
    half = (
        np.sin((phi[:, None] - phi) / 2) ** 2
        + np.cos(phi[:, None]) * np.cos(phi) * np.sin((lam[:, None] - lam) / 2) ** 2
    )
    return 2 * 6371.0088 * np.arcsin(np.sqrt(np.minimum(half, 1)))


def arctic(pixels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Places all around the pole between 55 and 75 degrees north, evenly by area."""
    rng = np.random.default_rng(seed)
    sines = rng.uniform(np.sin(np.radians(55)), np.sin(np.radians(75)), pixels)
    return np.degrees(np.arcsin(sines)), rng.uniform(-180, 180, pixels)


def coverage_of_truth(
    length_km: float, alpha: float, replicates: int = 300, assumed: tuple[float, float] | None = None
) -> dict[str, float]:
    """Share of synthetic worlds whose regional truth lies within nominal 95 % limits, by method.

    Truth and errors of observation are Gaussian fields of the known kernel; each pixel is inferred alone, by Bayes for
    a normal mean with known variances, so that its posterior is calibrated and blind to its neighbours. assumed :
    length and alpha of the copula, by default the true ones.
    """
    rng = np.random.default_rng(8)
    pixels, count = 120, 200
    lat, lon = arctic(pixels)
    kernel = alpha + (1 - alpha) * np.exp(-haversine_km(lat, lon) / length_km)
    root = np.linalg.cholesky(kernel)
    spread, noise = 0.5 + rng.random(pixels), 0.5 + rng.random(pixels)
    area = 0.5 + rng.random((1, pixels))
    keep = spread**2 / (spread**2 + noise**2)
    of_copula = (length_km, alpha) if assumed is None else assumed
    field = local_field(lat, lon, of_copula[0])
    inside = {"common": 0, "independent": 0, "copula": 0}
    for _ in range(replicates):
        truth = spread * (root @ rng.standard_normal(pixels))
        seen = truth + noise * (root @ rng.standard_normal(pixels))
        posterior = keep * seen, np.sqrt(keep) * noise
        members = posterior[0][:, None] + posterior[1][:, None] * rng.standard_normal((pixels, count))
        limits = {
            "common": common_quantile(members[None], area, LIMITS)[0, 0],
            "independent": np.quantile(independent_sums(members[None], area, rng, 400)[0, 0], LIMITS),
            "copula": np.quantile(
                copula_sums(members[None], area, field, [of_copula[1]], rng, 800)[0, 0, 0], LIMITS
            ),
        }
        total = (area @ truth).item()
        for name, (low, high) in limits.items():
            inside[name] += low <= total <= high
    return {name: 100 * n / replicates for name, n in inside.items()}


def coverage_of_shared(
    replicates: int, pixels: int = 40, members: int = 200, noise: float = 2.0
) -> dict[str, float]:
    """Share of worlds whose sum of a parameter lies within nominal 95 % limits (%), and of worlds not trusted.

    Pixels are normal about a centre that all share, N(0, 2), with a spread of median 0.5. Each is inferred alone under
    the prior N(0, 2) from one observation with an error of sd `noise`, so all posteriors lean to 0.
    """
    first = 2.0
    keep = first**2 / (first**2 + noise**2)
    area = np.ones((1, pixels))
    inside = {"common": 0, "independent": 0, "hierarchical": 0, "untrusted": 0, "trusted and held": 0}
    for seed in range(replicates):
        rng = np.random.default_rng(seed)
        spread = float(np.exp(rng.normal(np.log(0.5), 0.3)))
        truth = rng.normal(0, first) + spread * rng.standard_normal(pixels)
        seen = truth + noise * rng.standard_normal(pixels)
        values = keep * seen[:, None] + np.sqrt(keep) * noise * rng.standard_normal((pixels, members))
        prior = HyperPrior(lambda mean: -0.5 * np.sum((mean / first) ** 2, axis=1), (0.5, 0.3))
        found = population(values[..., None], -0.5 * (values / first) ** 2, prior, rng, 1000)
        limits = {
            "common": common_quantile(values[None], area, LIMITS)[0, 0],
            "independent": np.quantile(independent_sums(values[None], area, rng, 1000)[0, 0], LIMITS),
            "hierarchical": np.quantile(chosen_sums(values[None], area, found.chosen)[0, 0], LIMITS),
        }
        for name, (low, high) in limits.items():
            inside[name] += bool(low <= truth.sum() <= high)
        inside["untrusted"] += found.reason != ""
        low, high = limits["hierarchical"]
        inside["trusted and held"] += bool(low <= truth.sum() <= high) and not found.reason
    trusted = replicates - inside["untrusted"]
    found_shares = {name: 100 * n / replicates for name, n in inside.items()}
    return found_shares | {"trusted and held": 100 * inside["trusted and held"] / max(trusted, 1)}
