"""Effects, interactions and attribution from runs in which one or more factors are held fixed.

A factorial design has a reference run, in which every factor varies, and runs in which a set X of factors is fixed. The
effect of X is E_X = reference - run with X fixed (Liu et al. 2024, Earth's Future 12, e2024EF004996). Nothing here
knows what the factors or the variables are.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import xarray as xr

from talik.errors import ConfigError, InputError

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)
DIMENSION = "experiment"
JOIN = "&"


@dataclass(frozen=True)
class Design:
    """Which factors are fixed in which run. `fixed` : run to its fixed factors, none for the `reference`."""

    reference: str
    fixed: Mapping[str, frozenset[str]]

    def __post_init__(self) -> None:
        if self.fixed.get(self.reference, frozenset()):
            held = ", ".join(sorted(self.fixed[self.reference]))
            raise ConfigError(
                f"the reference {self.reference!r} has fixed factors ({held}); expected none. Name the run in which "
                "everything varies."
            )
        object.__setattr__(self, "fixed", {self.reference: frozenset(), **self.fixed})
        seen: dict[frozenset[str], str] = {}
        for run, held_set in self.fixed.items():
            if (twin := seen.setdefault(held_set, run)) != run:
                what = self.label(held_set) or "nothing"
                raise ConfigError(f"runs {twin!r} and {run!r} both fix {what}. Leave one of them out.")

    @property
    def factors(self) -> tuple[str, ...]:
        """Every factor that some run fixes: those fixed alone first, in the order of the runs."""
        by_size = sorted(self.fixed.values(), key=len)
        return tuple(dict.fromkeys(name for held in by_size for name in sorted(held)))

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """The sets of factors of all runs but the reference, small ones first, each in the order of `factors`."""
        found = [tuple(f for f in self.factors if f in held) for held in self.fixed.values() if held]
        return tuple(sorted(found, key=lambda s: (len(s), [self.factors.index(f) for f in s])))

    def label(self, held: Iterable[str]) -> str:
        """The name of a set of factors, like ``CO2&Temp``, in the order of `factors`."""
        names = set(held)
        return JOIN.join(f for f in self.factors if f in names)

    @property
    def complete(self) -> bool:
        """Whether every one of the 2^k combinations of the factors was run."""
        return len(self.fixed) == 1 << len(self.factors)

    def run_of(self, factors: str | Iterable[str]) -> str:
        """The run in which exactly these factors are fixed; ConfigError names what is missing."""
        wanted = frozenset([factors] if isinstance(factors, str) else factors)
        if unknown := wanted - set(self.factors):
            raise ConfigError(
                f"no run fixes {', '.join(sorted(unknown))}; the factors are {', '.join(self.factors)}."
            )
        for run, held in self.fixed.items():
            if held == wanted:
                return run
        raise ConfigError(
            f"no run has exactly {self.label(wanted)} fixed. Add one to the factorial design; there are: "
            f"{', '.join(self.fixed)}."
        )

    def has(self, factors: Iterable[str]) -> bool:
        """Whether a run fixes exactly these factors."""
        return frozenset(factors) in self.fixed.values()


def design_of(ds: xr.Dataset) -> Design:
    """The design of a factorial dataset, from its attributes `reference` and `factors` (JSON).

    InputError: an attribute or the dimension `experiment` is missing, or a run has no entry in `factors`.
    """
    name = ds.encoding.get("source", "dataset")
    if DIMENSION not in ds.dims or DIMENSION not in ds.coords:
        raise InputError(
            f"{name}: expected a labelled dimension {DIMENSION!r}; found {', '.join(map(str, ds.dims))}."
        )
    for attribute in ("reference", "factors"):
        if attribute not in ds.attrs:
            raise InputError(
                f"{name}: no global attribute {attribute!r}. Is this the output of a factorial run?"
            )
    runs = [str(v) for v in ds[DIMENSION].values]
    try:
        table = {str(run): frozenset(map(str, held)) for run, held in json.loads(ds.attrs["factors"]).items()}
    except (ValueError, TypeError, AttributeError) as err:
        raise InputError(
            f"{name}: attribute 'factors' is no JSON table of run to fixed factors ({err})."
        ) from err
    reference = str(ds.attrs["reference"])
    if reference not in runs:
        raise InputError(f"{name}: the reference {reference!r} is not among the runs: {', '.join(runs)}.")
    if unknown := [run for run in runs if run != reference and run not in table]:
        raise InputError(f"{name}: attribute 'factors' says nothing of {', '.join(unknown)}.")
    return Design(reference, {run: table.get(run, frozenset()) for run in runs})


def effect(data: Labelled, design: Design, of: str | Iterable[str]) -> Labelled:
    """E_X = reference - run with the factors `of` fixed; without the dimension `experiment`, units as they were.

    ConfigError: no such run. Identical runs give exactly zero.
    """
    return _run(data, design.reference) - _run(data, design.run_of(of))


def effects(data: Labelled, design: Design) -> Labelled:
    """All effects along a new first dimension `factors`, labelled like ``CO2&Temp``, small sets first."""
    parts = [effect(data, design, held) for held in design.sets]
    return _stacked(parts, "factors", [design.label(held) for held in design.sets])


def interaction(data: Labelled, design: Design, first: str, second: str) -> Labelled:
    """I_AB = E_AB - E_A - E_B: what two factors do together beyond what each does alone.

    ConfigError: one of the three runs is missing; it is named.
    """
    return _term(data, design, (first, second))


def terms(data: Labelled, design: Design) -> Labelled:
    """Moebius terms of the effects along `factors`: m_X = sum over Y in X of (-1)^(x-y) E_Y, x and y their sizes.

    A single factor's term is its effect, a pair's its interaction, and so on. A set is given if all its subsets were
    run. In a complete design the terms add up to the effect of all factors together. Source: Rota 1964; in climate
    science Stein and Alpert 1993 (factor separation).
    """
    sets = _closed_sets(design)
    return _stacked([_term(data, design, s) for s in sets], "factors", [design.label(s) for s in sets])


def shapley(data: Labelled, design: Design) -> Labelled:
    """Exact Shapley values along a new first dimension `factor`; they add up to the effect of all factors together.

    A factor gets its own term, and of the term of every set it is in an equal part (Harsanyi 1959).
    ConfigError: the design is not complete; names a missing run.
    """
    for size in range(1, len(design.factors) + 1):
        for held in itertools.combinations(design.factors, size):
            design.run_of(held)
    return _shared_terms(data, design)


def attribution(data: xr.DataArray, design: Design, change: xr.DataArray | None = None) -> xr.Dataset:
    """What each factor contributes, its share and its rank, and what stays unexplained.

    Complete design: `contribution` are the Shapley values, `total` the effect of all factors together, `unexplained`
    zero to round-off. Otherwise there is no run with everything fixed, and the total is unknown: `contribution` is an
    estimate, the main effect and half of every pair interaction whose runs exist (and a third of each triple, ...), and
    `total` is `change`, the change of the reference run over the time that the effects cover; `unexplained` then holds
    the terms that were not run, factors that no run fixes, and what would have changed under fixed factors. Without
    `change` the total is the sum of the contributions and `unexplained` is NaN.

    `share` (factor) : contribution / total, which may be negative or beyond 1; NaN where the total is zero.
    `rank` (factor) : 1 for the largest contribution by size. `attrs["method"]` says which of the two it is.
    """
    contribution = _shared_terms(data, design)
    explained = contribution.sum("factor", skipna=False)
    if design.complete:
        total = effect(data, design, design.factors)
        unexplained = total - explained
    else:
        total = explained if change is None else change
        unexplained = explained * float("nan") if change is None else change - explained
    size = -abs(contribution)
    rank = xr.apply_ufunc(
        lambda values: values.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable") + 1,
        size,
        input_core_dims=[["factor"]],
        output_core_dims=[["factor"]],
        dask="parallelized",
        output_dtypes=[int],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    method = (
        "Shapley values"
        if design.complete
        else "main effects and equal parts of the interactions that were run"
    )
    return xr.Dataset(
        {
            "contribution": contribution,
            "share": contribution / total.where(total != 0.0),
            "rank": rank.where(contribution.notnull()).transpose(*contribution.dims),
            "total": total,
            "unexplained": unexplained,
        },
        attrs={"method": method},
    )


def missing_pairs(design: Design) -> tuple[str, ...]:
    """Pairs of factors whose interaction cannot be had because a run is missing, labelled like ``PF&Temp``."""
    pairs = itertools.combinations(design.factors, 2)
    return tuple(design.label(pair) for pair in pairs if not design.has(pair))


def _run(data: Labelled, run: str) -> Labelled:
    return data.sel({DIMENSION: run}, drop=True)


def _term(data: Labelled, design: Design, factors: tuple[str, ...]) -> Labelled:
    """The Moebius term of a set of factors."""
    out: Labelled | None = None
    for size in range(len(factors), 0, -1):
        for held in itertools.combinations(factors, size):
            part = effect(data, design, held)
            signed = part if (len(factors) - size) % 2 == 0 else -part
            out = signed if out is None else out + signed
    if out is None:
        raise ConfigError("a term needs at least one factor; found none.")
    return out


def _closed_sets(design: Design) -> list[tuple[str, ...]]:
    """The sets of factors all of whose subsets were run."""
    return [
        held
        for held in design.sets
        if all(design.has(sub) for size in range(1, len(held)) for sub in itertools.combinations(held, size))
    ]


def _shared_terms(data: Labelled, design: Design) -> Labelled:
    """By factor: the terms of all sets that it is in, each divided by the size of the set."""
    sets = _closed_sets(design)
    shares: list[Labelled] = []
    for factor in design.factors:
        if not design.has([factor]):
            raise ConfigError(
                f"no run has only {factor} fixed, so nothing can be attributed to it. Add that run."
            )
        own = [_term(data, design, held) / len(held) for held in sets if factor in held]
        summed = own[0]
        for part in own[1:]:
            summed = summed + part
        shares.append(summed)
    return _stacked(shares, "factor", list(design.factors))


def _stacked(parts: list[Labelled], dim: str, labels: list[str]) -> Labelled:
    if not parts:
        raise ConfigError("the design has no run beside the reference, so there is no effect to compute.")
    joined: Labelled = xr.concat(parts, dim=dim, coords="minimal", compat="override")
    return joined.assign_coords({dim: labels})
