"""The posterior of the pixels of a block, from drivers and observations to members."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.convergence import TRUSTED_K, kish_share, pareto_k
from talik.convergence import rhat as rhat_of
from talik.fusion.ap_mcmc import ApMcmcSettings, ap_mcmc
from talik.fusion.axis import Pixels, TimeAxis
from talik.fusion.de import DeSettings, de
from talik.fusion.draws import Draws, Limits, Verdict, judge, of_rounds
from talik.fusion.drivers import Drivers
from talik.fusion.ensemble import Ensemble, derived_fluxes, systematic
from talik.fusion.hmc import HmcSettings, HmcState, draw_round, slower, starts, warm_up
from talik.fusion.nuts import NutsSettings, nuts
from talik.fusion.observations import Observations
from talik.fusion.parameters import N_PARAMETERS
from talik.fusion.posterior import (
    BlockData,
    block_data,
    parameters_of_walk,
    reference_walk,
    simulate_members,
    smoothed_target,
)
from talik.fusion.posterior_draws import NAMES, OUTPUTS, Seen, examine, hard_chains, together
from talik.fusion.settings import InferOptions
from talik.fusion.smc import Particles, SmcSettings, smc
from talik.rng import named_rng

Floats = NDArray[np.float64]
Tell = Callable[[str], None]

MODES = 2
"""Tempered starts with different seeds, from each of which a share of the chains begins: a lost mode shows in R-hat."""
LIMITS = Limits()
SHOWN = 4
"""Pixels that a sign of life names."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of the pixels of a block, what they say, and how far to trust them.

    values : of `NAMES` (pixel, chain, draw, name).     weights : (pixel, chain, draw), of the posterior with hard
    constraints, 0 where one fails.     reached : (pixel,), the sampler found the target.     verdicts : of each pixel,
    before the hard constraints.     kept, kish, pareto_k : (pixel,), share of draws that pass, effective share after
    weighting, shape of the weights.     members : (pixel, chain, draw), draws that may become members; all if None.
    """

    draws: Draws
    seen: Seen
    reached: NDArray[np.bool_]
    verdicts: Sequence[Verdict]
    kept: Floats
    kish: Floats
    pareto_k: Floats
    members: NDArray[np.bool_] | None = None

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(pixel,), whether there is any draw that keeps the hard constraints."""
        return np.asarray(self.reached & self.seen.passes.any(axis=(1, 2)))

    @property
    def log_weights(self) -> Floats:
        """Of each draw (pixel, chain, draw), -inf where a hard constraint fails or it may not become a member."""
        passes = self.seen.passes if self.members is None else self.seen.passes & self.members
        return np.asarray(np.where(passes, -self.seen.softness, -np.inf))

    @cached_property
    def rhat_hard(self) -> Floats:
        """Largest R-hat (pixel,) after the hard constraints, of chains that were taken again by their weights."""
        found = []
        for values, weights in zip(self.seen.values, self.log_weights, strict=True):
            chains = hard_chains(values, weights)
            moves = chains.min(axis=(0, 1)) < chains.max(axis=(0, 1))  # fire is 0 where nothing burns
            found.append(
                rhat_of(chains[..., moves]).max(initial=1.0) if np.isfinite(chains).all() else np.nan
            )
        return np.array(found)

    def reasons(self, pixel: int, limits: Limits = LIMITS) -> tuple[str, ...]:
        """Why the draws of a pixel are not to be trusted; empty if they are."""
        if not self.reached[pixel]:
            return ("the sampler did not reach the posterior from the prior",)
        if not self.alive[pixel]:
            draws = self.seen.passes[pixel].size
            return (
                f"none of {draws} draws keeps the hard constraints: they and the observations, "
                "with their errors, disagree",
            )
        verdict, told = self.verdicts[pixel], list(self.verdicts[pixel].reasons)
        left = self.kish[pixel] * min(verdict.bulk_ess, verdict.tail_ess)
        if not left > limits.ess:
            told.append(
                f"the hard constraints leave {left:.0f} effective draws ({self.kish[pixel]:.1%}), "
                f"not more than {limits.ess:g}"
            )
        if not told and not self.rhat_hard[pixel] < limits.rhat_map:
            told.append(
                f"R-hat after the hard constraints is {self.rhat_hard[pixel]:.3f}, not below {limits.rhat_map:g}"
            )
        if not self.pareto_k[pixel] < TRUSTED_K:
            told.append(f"the weights' Pareto shape is {self.pareto_k[pixel]:.2f}, not below {TRUSTED_K}")
        return tuple(told)


def infer_block(
    drivers: Drivers,
    observations: Observations,
    axis: TimeAxis,
    pixels: Pixels,
    options: InferOptions,
    tell: Tell = lambda _line: None,
) -> Ensemble:
    """Members of the posterior of every pixel of a block, and their diagnostics.

    drivers : (time, pixel, 1).     observations : (time, pixel) and (pixel,).     A pixel's draws depend on its name,
    its data and the seed; the other pixels of the block decide only how many rounds are run. Pixels that have not
    converged keep their members and say why; those that the sampler lost are NaN.
    """
    data = block_data(drivers, observations)
    found = sample(data, axis, pixels, options, tell)
    return _ensemble(found, data, axis, pixels, options)


def sample(
    data: BlockData, axis: TimeAxis, pixels: Pixels, options: InferOptions, tell: Tell = lambda _line: None
) -> Posterior:
    """Draws of the posterior by the sampler of the options, judged."""
    numbers = np.array([_number(name) for name in pixels.names], np.uint32)
    tell(f"{options.sampler.method}: compiling, about a minute unless it is kept from an earlier run")
    match options.sampler.method:
        case "hmc":
            return _hmc(data, axis, pixels.names, numbers, options, tell)
        case "smc":
            return _smc(data, axis, numbers, options, tell)
        case "nuts":
            return _nuts(data, axis, numbers, options, tell)
        case "de":
            return _de(data, axis, numbers, options, tell)
        case "ap-mcmc":
            return _ap_mcmc(data, axis, numbers, options, tell)


def _hmc(
    data: BlockData,
    axis: TimeAxis,
    names: Sequence[str],
    numbers: NDArray[np.uint32],
    options: InferOptions,
    tell: Tell,
) -> Posterior:
    """Rounds of many-chain HMC until every pixel has converged."""
    target, want = smoothed_target(options.switches), options.sampler
    settings = HmcSettings(chains=want.chains, warmup=want.warmup, draws=want.draws, thin=want.thin)
    begun = time.monotonic()
    modes = _tempered(data, numbers, options, tell)
    state, gradients = _warm(modes, data, numbers, options, settings)
    tell(f"{want.chains} chains of each pixel warmed up")
    spent = sum(p.gradients for p in modes) * want.particles + gradients * want.chains
    reached = np.all([p.reached for p in modes], axis=0)
    rounds, seen, tuned = [], [], state.step
    for number in range(want.rounds):
        state, made = draw_round(target, data, numbers, options.seed, state, settings)
        state = slower(state, tuned, made)
        rounds.append(made)
        seen.append(examine(np.asarray(made.u), data, axis, options.switches))
        found = _judged(of_rounds(rounds, time.monotonic() - begun, spent), together(seen), reached)
        unsettled = [k for k in np.flatnonzero(found.alive).tolist() if found.reasons(k)]
        done, slowest = int(found.alive.sum()) - len(unsettled), _slowest(found, names, unsettled)
        tell(
            f"round {number + 1} of {want.rounds} at most: {done} of {len(numbers)} pixels have converged{slowest}"
        )
        if not unsettled:
            break
    return found


def _slowest(found: Posterior, names: Sequence[str], left: Sequence[int]) -> str:
    """The pixels with the largest R-hat of those that are not done."""
    worst = sorted(left, key=lambda k: -found.verdicts[k].rhat)[:SHOWN]
    told = ", ".join(f"{names[k]} {found.verdicts[k].rhat:.3f}" for k in worst)
    return f", largest R-hat: {told}" if told else ""


def _tempered(
    data: BlockData, numbers: NDArray[np.uint32], options: InferOptions, tell: Tell
) -> list[Particles]:
    """Particles of the posterior from each of the tempered starts."""
    target, settings = smoothed_target(options.switches), SmcSettings(particles=options.sampler.particles)
    found = []
    for mode in range(MODES):
        found.append(smc(target, data, numbers, MODES * options.seed + mode, settings))
        tell(f"tempered start {mode + 1} of {MODES}: {int(found[-1].stages.max())} stages")
    return found


def _smc(
    data: BlockData, axis: TimeAxis, numbers: NDArray[np.uint32], options: InferOptions, tell: Tell
) -> Posterior:
    """Tempered runs alone, which compile in half the time: each is a chain, and R-hat says whether they agree.

    Particles of one ancestor stand side by side, so effective sizes feel how few ancestors there are left.
    """
    want, target = options.sampler, smoothed_target(options.switches)
    settings, begun, runs = SmcSettings(particles=want.particles), time.monotonic(), []
    for number in range(want.chains):
        runs.append(smc(target, data, numbers, want.chains * options.seed + number, settings))
        tell(f"tempered run {number + 1} of {want.chains}: {int(runs[-1].stages.max())} stages")
    draws = Draws(
        u=np.stack([np.swapaxes(np.asarray(one.u), 1, 2) for one in runs], axis=1),
        log_density=np.stack([np.asarray(one.log_density) for one in runs], axis=1),
        acceptance=np.full(len(numbers), np.nan),
        divergent=np.zeros(len(numbers)),
        gradients=np.full(len(numbers), float(want.particles * sum(one.gradients for one in runs))),
        seconds=time.monotonic() - begun,
    )
    seen = together([examine(draws.u, data, axis, options.switches)])
    return _judged(draws, seen, np.all([one.reached for one in runs], axis=0))


def _warm(
    modes: Sequence[Particles],
    data: BlockData,
    numbers: NDArray[np.uint32],
    options: InferOptions,
    settings: HmcSettings,
) -> tuple[HmcState, int]:
    """Tuned chains, begun in turn at particles of each tempered start."""
    share = -(-settings.chains // len(modes))
    u = jnp.concatenate([starts(p, share, options.seed, numbers) for p in modes], axis=2)[
        ..., : settings.chains
    ]
    target = smoothed_target(options.switches)
    return warm_up(target, data, numbers, options.seed, u, modes[0].factor, modes[0].step, settings)


def _nuts(
    data: BlockData, axis: TimeAxis, numbers: NDArray[np.uint32], options: InferOptions, tell: Tell
) -> Posterior:
    """The No-U-Turn Sampler of numpyro, pixel by pixel, from the same tempered starts."""
    want, target = options.sampler, smoothed_target(options.switches)
    modes = _tempered(data, numbers, options, tell)
    settings = NutsSettings(draws=want.draws)
    share = -(-want.chains // MODES)
    made = []
    for k in range(len(numbers)):
        u = jnp.concatenate([starts(p, share, options.seed, numbers)[k : k + 1] for p in modes], axis=2)
        seed = options.seed ^ int(numbers[k])
        made.append(nuts(target, data.pixel(k), u, modes[0].factor[k : k + 1], seed, settings))
        tell(f"pixel {k + 1} of {len(numbers)} done")
    draws = Draws(
        u=np.concatenate([one.u for one in made]),
        log_density=np.concatenate([one.log_density for one in made]),
        acceptance=np.concatenate([one.acceptance for one in made]),
        divergent=np.concatenate([one.divergent for one in made]),
        gradients=np.concatenate([one.gradients for one in made]),
        seconds=sum(one.seconds for one in made),
    )
    seen = together([examine(draws.u, data, axis, options.switches)])
    return _judged(draws, seen, np.all([p.reached for p in modes], axis=0))


def _de(
    data: BlockData, axis: TimeAxis, numbers: NDArray[np.uint32], options: InferOptions, tell: Tell
) -> Posterior:
    """Differential evolution with an archive, from the reference density: knows nothing of the tempered starts."""
    settings = DeSettings(generations=options.sampler.generations)
    draws = de(smoothed_target(options.switches), data, numbers, options.seed, settings)
    tell(f"{settings.generations} generations done in {draws.seconds:.0f} s")
    reached = np.asarray(np.isfinite(draws.log_density).all(axis=(1, 2)))
    return _judged(draws, together([examine(draws.u, data, axis, options.switches)]), reached)


def _ap_mcmc(
    data: BlockData, axis: TimeAxis, numbers: NDArray[np.uint32], options: InferOptions, tell: Tell
) -> Posterior:
    """The sampler of the reference, on parameters and hard constraints; members are the ends of the chains it keeps."""
    settings = ApMcmcSettings(iterations=options.sampler.iterations)
    found = ap_mcmc(reference_walk(options.switches), data, numbers, options.seed, settings)
    tell(f"{settings.iterations} iterations done in {found.draws.seconds:.0f} s")
    theta = parameters_of_walk(found.draws.u, options.switches)
    seen = together([examine(theta, data, axis, options.switches, coordinates=False)])
    ends = np.arange(theta.shape[2]) >= theta.shape[2] - settings.last
    judged = _judged(found.draws, seen, np.asarray(found.started.all(axis=1)))
    return replace(judged, members=found.chains[:, :, None] & ends)


def _judged(draws: Draws, seen: Seen, reached: NDArray[np.bool_]) -> Posterior:
    weights = _flat(np.where(seen.passes, -seen.softness, -np.inf))
    return Posterior(
        draws,
        seen,
        reached,
        judge(NAMES, seen.values, draws.divergent),
        seen.passes.mean(axis=(1, 2)),
        kish_share(weights),
        np.array([pareto_k(one[np.isfinite(one)]) for one in weights]),
    )


def _ensemble(
    found: Posterior, data: BlockData, axis: TimeAxis, pixels: Pixels, options: InferOptions
) -> Ensemble:
    """Members drawn in proportion to their weights, run again for all that they say."""
    members = options.sampler.members
    chosen = np.stack(
        [
            members_of(weights, members, named_rng(options.seed, f"members of {name}"))
            for weights, name in zip(found.log_weights, pixels.names, strict=True)
        ]
    )
    theta = np.take_along_axis(_flat(found.seen.theta), chosen[..., None], axis=1)
    theta[~found.alive] = np.nan
    pools, fluxes = simulate_members(jnp.asarray(np.moveaxis(theta, -1, 0)), data, options.switches)
    reasons = tuple("; ".join(found.reasons(k)) for k in range(len(pixels)))
    values = np.take_along_axis(_flat(found.seen.values), chosen[..., None], axis=1)
    values[~found.alive] = np.nan
    rhat = np.stack([rhat_of(one) for one in found.seen.values])
    rhat[~found.alive] = np.nan
    return Ensemble(
        names=pixels.names,
        lat=pixels.lat,
        lon=pixels.lon,
        years=axis.years,
        months=axis.months,
        parameters=theta,
        pools=np.asarray(pools),
        fluxes=derived_fluxes(*(np.asarray(flux) for flux in fluxes)),
        mrt=values[..., NAMES.index("mrt")],
        cue=values[..., NAMES.index("cue")],
        diagnostics=_diagnostics(found, rhat, reasons),
        rhat=rhat[:, :N_PARAMETERS],
        rhat_outputs={name: rhat[:, N_PARAMETERS + k] for k, name in enumerate(OUTPUTS)},
        reason=reasons,
    )


def _diagnostics(found: Posterior, rhat: Floats, reasons: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    alive = found.alive
    clean = np.array([not text for text in reasons])
    fewest = np.array([min(v.bulk_ess, v.tail_ess) for v in found.verdicts])
    shown = np.array([v.trust != "failed" for v in found.verdicts]) & (found.pareto_k < TRUSTED_K)
    shown &= (found.kish * fewest > LIMITS.ess_map) & (found.rhat_hard < LIMITS.rhat_map)

    def told(values: Sequence[float] | Floats) -> Floats:
        return np.where(alive, np.asarray(values, float), np.nan)

    # what is the same in every draw (fire where nothing burns) has no R-hat
    worst = np.where(np.isfinite(rhat), rhat, 1.0)
    return {
        "converged": clean & alive,
        "map_quality": shown & alive,
        "rhat_parameters": told(worst[:, :N_PARAMETERS].max(axis=1)),
        "rhat_outputs": told(worst[:, N_PARAMETERS:].max(axis=1)),
        "ess_bulk": told([v.bulk_ess for v in found.verdicts]),
        "ess_tail": told([v.tail_ess for v in found.verdicts]),
        "divergences": told(found.draws.divergent),
        "kept": told(found.kept),
        "kish": told(found.kish),
        "pareto_k": told(found.pareto_k),
        "rhat_hard": told(found.rhat_hard),
    }


def members_of(log_weights: Floats, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draws (count,) chosen in proportion to their weights (chain, draw), as places in the flat array.

    Any draw where no weight is left.
    """
    logs = log_weights.ravel()
    weights = np.exp(logs - logs.max()) if np.isfinite(logs.max()) else np.ones_like(logs)
    # draws of a chain stand side by side: shuffled, so that no chain is favoured by where its draws lie
    order = rng.permutation(weights.size)
    return np.asarray(order[systematic(weights[order], rng, count)])


def _flat(values: NDArray[np.generic]) -> Floats:
    """(pixel, chain x draw, ...) of (pixel, chain, draw, ...)."""
    return np.asarray(values.reshape(values.shape[0], -1, *values.shape[3:]))


def _number(name: str) -> int:
    """The number of a pixel, from its name: the same in every block."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
