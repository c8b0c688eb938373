"""What calibration and recovery of twins say, from the blocks that are done (docs/science/fusion-calibration.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare

from talik.convergence import TRUSTED_K, bulk_ess, kish_share
from talik.fusion.calibration import inside_band, ranks, same
from talik.fusion.coordinates import CIRCULAR
from talik.fusion.parameters import P
from talik.fusion.phenology import YEAR
from talik.fusion.posterior_draws import NAMES

Floats = NDArray[np.float64]
Found = dict[str, NDArray[np.generic]]

QUANTITIES = tuple(name for name in NAMES if name != "cue")
MARGINALS = (P.K_LS, P.F_A, P.F_F, P.L_F, P.K_W, P.C_EFF, P.D_ON, P.LCMA, P.C_FOL, P.C_SOM)
"""Compared between the posterior of nothing and the prior."""
LEVEL = 0.01
"""Of chi-square, before it is divided by the number of quantities."""
SEED = 10
"""Of truths, observations, samplers, and what spreads ranks over ties."""


def finished(folder: Path) -> Found:
    """The blocks that are done, one after another (twin, ...)."""
    blocks = []
    for file in sorted(folder.glob("block-*.npz")):
        with np.load(file) as there:
            blocks.append({name: there[name] for name in there.files})
    return together(blocks) if blocks else {}


def together(blocks: list[Found]) -> Found:
    """Blocks one after another (twin, ...); seconds stay those of blocks."""
    seconds = np.array([float(b["seconds"]) for b in blocks])
    whole = {n: np.concatenate([b[n] for b in blocks]) for n in blocks[0] if n != "seconds"}
    return {**whole, "seconds": seconds}


def ranks_of(found: Found) -> dict[str, Floats]:
    """Rank 0-1 of the truth in each posterior, by quantity; twins that the sampler lost are left out."""
    alive = found["alive"]
    truth, members = found["truth"][alive], np.swapaxes(found["members"][alive], 1, 2)
    by_name = ranks(truth, members, SEED)
    return {name: by_name[:, NAMES.index(name)] for name in QUANTITIES}


def chi_square(values: Floats) -> float:
    """p of equal counts in bins that expect 8 ranks or more."""
    bins = min(20, values.size // 8)
    return float(chisquare(np.histogram(values, bins, (0, 1))[0]).pvalue)


def verdict(by_name: dict[str, Floats], band: float = 0.05) -> dict[str, Any]:
    """Whether the ranks are uniform: chi-square and bands, each for all quantities together; `band` is the chance that
    right posteriors leave theirs."""
    p = {name: chi_square(values) for name, values in by_name.items()}
    number = len(by_name)
    outside = [name for name, values in by_name.items() if not inside_band(values)]
    far = [name for name, values in by_name.items() if not inside_band(values, probability=1 - band / number)]
    worst = min(p, key=lambda name: p[name])
    return {
        "worst": worst,
        "p": p[worst],
        "uniform": p[worst] > LEVEL / number and not far,
        "outside": outside,
        "far": far,
    }


def recovery(found: Found) -> dict[str, float]:
    """How often truths lie inside, how far NEE is off, and modes that were not found."""
    alive = found["alive"]
    place = np.stack(list(ranks_of(found).values()), axis=1)
    nee = NAMES.index("nee")
    bias = ((found["mean"] - found["truth"])[alive, nee]) / found["sd"][alive, nee]
    return {
        "twins": int(alive.size),
        "converged": int(found["converged"].sum()),
        "lost": int((~alive).sum()),
        "inside 50 %": float((np.abs(place - 0.5) < 0.25).mean()),
        "inside 90 %": float((np.abs(place - 0.5) < 0.45).mean()),
        "NEE, median of error / posterior sd": float(np.median(bias)),
        "NEE, median of |error| / posterior sd": float(np.median(np.abs(bias))),
        "truth scores above the 99.9 % quantile of draws": int(
            (found["true_score"] > found["top_score"])[alive].sum()
        ),
    }


def told(name: str, found: Found, wanted: int) -> list[str]:
    """Rows of the table of one set of twins."""
    if not found:
        return [f"{name}: 0 of {wanted} twins done"]
    by_name, alive = ranks_of(found), found["alive"]
    judged, worth = verdict(by_name), (found["kish"] * found["ess"])[alive]
    least, low, middle = np.quantile(worth, [0.0, 0.1, 0.5])
    rhats = found["rhat"][alive]
    heavy = int((found["pareto_k"][alive] > TRUSTED_K).sum())
    return [
        f"{name}: {alive.size} of {wanted} twins done, {int((~alive).sum())} lost by the sampler; "
        f"{'UNIFORM' if judged['uniform'] else 'NOT UNIFORM'}",
        f"  smallest chi-square p of {len(by_name)} quantities {judged['p']:.2g} ({judged['worst']}; limit "
        f"{LEVEL / len(by_name):.2g})",
        f"  outside their own 95 % band, as 1 in 20 is by chance: {', '.join(judged['outside']) or 'none'}",
        f"  outside the band for all quantities together: {', '.join(judged['far']) or 'none'}",
        f"  R-hat median {np.median(rhats):.3f}, 90 % {np.quantile(rhats, 0.9):.3f}, largest {rhats.max():.3f}; "
        f"effective draws with hard constraints, least {least:.0f}, 10 % {low:.0f}, median {middle:.0f}; "
        f"Pareto k above {TRUSTED_K}: {heavy}",
        f"  {found['seconds'].sum() / alive.size:.1f} CPU-s and {found['gradients'].mean():.2g} gradients a twin",
    ]


def nothing(folder: Path, rounds: int) -> list[str]:
    """Rows: Kolmogorov's and Smirnov's p of ten marginals, all pixels side by side."""
    file = folder / f"nothing-rounds-{rounds}.npz"
    if not file.exists():
        return ["posterior of nothing: not done"]
    with np.load(file) as there:
        values, logs, r = there["values"], there["log_weights"], there["rhat"]
    lines = [f"posterior of nothing, {len(values)} pixels, R-hat {r.min():.3f} to {r.max():.3f}"]
    found = []
    for k in range(len(values)):
        with np.load(folder / f"weighted-prior-{k}.npz") as there:
            theta, weights = there["theta"], there["weights"]
        found.append(against_prior(values[k], logs[k], theta, weights))
        worth = weights.sum() ** 2 / np.square(weights).sum()
        lines.append(f"  pixel {k}: the prior by importance is worth {worth:.0f} draws")
    for p in MARGINALS:
        lines.append(f"  {NAMES[p]}: p {', '.join(f'{one[NAMES[p]]:.2f}' for one in found)}")
    return lines


def against_prior(values: Floats, log_weights: Floats, theta: Floats, weights: Floats) -> dict[str, float]:
    """Kolmogorov's and Smirnov's p of ten marginals: draws (chain, draw, 28) of the posterior of nothing with their
    weights (chain, draw), and of the prior, theta (28, draw) with weights (draw,)."""
    logs = log_weights.ravel()
    own = np.exp(logs - logs.max())
    other = float(weights.sum() ** 2 / np.square(weights).sum())
    told = {}
    for p in MARGINALS:
        worth = float(bulk_ess(values[..., p : p + 1])[0]) * float(kish_share(logs))
        prior = np.mod(theta[p], YEAR) if p in CIRCULAR else theta[p]
        told[NAMES[p]] = same(values[..., p].ravel(), own, worth, prior, weights, other)
    return told
