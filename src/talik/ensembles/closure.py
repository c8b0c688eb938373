"""Whether the carbon a run stores is the carbon its NBP says it took up: signs, units and forgotten pools come out.

With annual means of a store S and annual means of a flux F into it, S(y+1) - S(y) is the mean of F(y) and F(y+1),
exactly if F is constant within each year; with year-end stores it is F(y+1). The sum over years telescopes, so the mean
of dS - F, the misfit, holds no error of stamps beyond those of the first and last year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from talik.ensembles.derived import RUN, check_table
from talik.errors import ConfigError, CoverageError, UnitsError
from talik.flux import flux_var, mass_ratio

POOLS = ("cVeg", "cSoil", "cLitter", "cProduct")
_NEEDED = ("cVeg", "cSoil")
"""A sum of pools without one of these is no land carbon."""
TOLERANCE = 0.1
"""Allowed misfit as a share of the root mean square of the yearly NBP."""
_FOLLOWS = 0.9
"""Correlation of yearly changes above which a run is said to follow its NBP."""
_SCALE = 1.6
"""Ratio of yearly changes to NBP, or its inverse, above which units are suspected; real models reach 1.3."""
_FEWEST = 10

Verdict = Literal["closes", "does not close", "cannot be checked"]
_COLUMNS = (
    *RUN, "verdict", "reason", "store", "years", "stored", "nbp", "misfit", "relative", "r", "ratio",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Misfit:
    """A store against a flux into it, over pairs of following years.

    years : pairs. stored, taken_up : mean yearly change and mean flux. misfit : their difference. relative : misfit
    over the root mean square of the flux. r : correlation of yearly changes and fluxes. ratio : standard deviation of
    the changes over that of the flux, with the sign of r.
    """

    years: int
    stored: float
    taken_up: float
    misfit: float
    relative: float
    r: float
    ratio: float


def misfit(store: np.ndarray, flux: np.ndarray, *, stamp: Literal["mean", "end"] = "mean") -> Misfit:
    """Yearly changes of a store (year,) against a flux into it (year,), in the same mass and per year; NaN is missing.

    Only pairs of years with all they need count. stamp : the store is the mean of its year, or its state at the end.
    """
    change = np.diff(store)
    expected = 0.5 * (flux[1:] + flux[:-1]) if stamp == "mean" else flux[1:]
    both = np.isfinite(change) & np.isfinite(expected)
    change, expected = change[both], expected[both]
    n = len(change)
    if n < 2:
        return Misfit(n, *[float("nan")] * 6)
    size = float(np.sqrt(np.mean(expected**2)))
    varies = np.ptp(change) > 0.0 and np.ptp(expected) > 0.0
    r = float(np.corrcoef(change, expected)[0, 1]) if varies else float("nan")
    off = float(change.mean() - expected.mean())
    ratio = float(change.std() / expected.std()) if varies else float("nan")
    return Misfit(
        n,
        float(change.mean()),
        float(expected.mean()),
        off,
        off / size if size > 0.0 else float("inf") if off else 0.0,
        r,
        -ratio if r < 0.0 else ratio,
    )


def closure(
    table: pd.DataFrame, *, stamp: Literal["mean", "end"] = "mean", tolerance: float = TOLERANCE
) -> pd.DataFrame:
    """Land carbon of each run against its NBP: one row a model, region and scenario, worst first within a region.

    table : a member table with nbp (positive down, mass per year) and cLand, or else cVeg, cSoil, cLitter, cProduct
    (mass). Columns model, region, scenario; verdict (closes, does not close, cannot be checked); reason, in words;
    store (what was summed); years; stored and nbp (mean yearly change and mean NBP, in the units of nbp); misfit
    (stored - nbp); relative (misfit over the root mean square of yearly NBP); r and ratio of yearly changes to NBP.

    A run closes if relative is within plus or minus `tolerance` and sign and scale are right. Why one does not is found
    by trying: NBP with the other sign, as mass of CO2, or in place of it npp - rh, npp - rh - fFire, nbp - fLuc; the
    store with and without product pools and litter. What makes it close, with at most half the misfit and yearly
    changes that agree no worse, is the likely reason; it is no proof.

    UnitsError: stores and nbp do not share a mass unit. InputError: the table. ConfigError: settings.
    """
    if stamp not in ("mean", "end") or not 0.0 < tolerance < 1.0:
        raise ConfigError(
            f"stamp is {stamp!r}, tolerance {tolerance}; expected 'mean' or 'end', and a share between 0 and 1."
        )
    units = check_table(table)
    used = [v for v in units if v in {"nbp", "npp", "rh", "fFire", "fLuc", "cLand", *POOLS}]
    _check_units(units)
    rows = table[table["variable"].isin(used)]
    wide = rows.pivot(index=[*RUN, "year"], columns="variable", values="value").sort_index()
    same = {v for v in used if v in POOLS or v == "cLand" or units[v] == units.get("nbp")}
    wide = wide[[v for v in wide.columns if v in same]]
    found = []
    for key, run in wide.groupby(level=RUN):
        years = run.index.get_level_values("year")
        whole = run.set_axis(years, axis="index").reindex(range(int(years.min()), int(years.max()) + 1))
        whole = whole.dropna(axis="columns", how="all")
        found.append(dict(zip(RUN, key, strict=True)) | _judge(whole, stamp, tolerance))
    out = pd.DataFrame(found, columns=list(_COLUMNS))
    out["size"] = out["relative"].abs()
    out = out.sort_values(["region", "scenario", "size", "model"], ascending=[True, True, False, True])
    return out.drop(columns="size").reset_index(drop=True)


def require_signs(checked: pd.DataFrame) -> None:
    """UnitsError if a run of a `closure` table has NBP of the wrong sign or in another mass unit; names the first."""
    wrong = checked[checked["reason"].str.startswith(("sign", "units"))]
    if len(wrong):
        one = wrong.iloc[0]
        raise UnitsError(
            f"{one['model']}, {one['region']}, {one['scenario']}: {one['reason']}. Its carbon changes by "
            f"{one['stored']:.3g} a year where nbp says {one['nbp']:.3g} ({len(wrong)} of {len(checked)} runs). Turn "
            "or convert nbp in the profile of the product, or drop the run."
        )


def require_closed(checked: pd.DataFrame, *, most: float = 0.0) -> None:
    """CoverageError if more than the share `most` of the runs that can be checked do not close; lists them."""
    able = checked[checked["verdict"] != "cannot be checked"]
    open_ = able[able["verdict"] == "does not close"]
    if len(able) and len(open_) > most * len(able):
        names = ", ".join(
            f"{m} ({r})" for m, r in dict(zip(open_["model"], open_["reason"], strict=True)).items()
        )
        raise CoverageError(
            f"{len(open_)} of {len(able)} runs do not close; expected at most {most:.0%}: {names}. Leave them out, or "
            "allow for it."
        )


def _check_units(units: dict[str, str]) -> None:
    if "nbp" not in units:
        return
    for name in ("cLand", *POOLS):
        if name in units and f"{units[name]} year-1" != units["nbp"]:
            raise UnitsError(
                f"closure: {name} is in {units[name]!r} and nbp in {units['nbp']!r}; expected a mass and the same mass "
                "with 'year-1'. Convert one of them."
            )


def _judge(run: pd.DataFrame, stamp: Literal["mean", "end"], tolerance: float) -> dict[str, object]:
    if "nbp" not in run:
        return _unable("no nbp")
    names = _store(run)
    if names is None:
        return _unable("no cLand, and no cVeg or cSoil")
    store = _sum(run, names)
    flux = run["nbp"].to_numpy(float)
    found = misfit(store, flux, stamp=stamp)
    if found.years < _FEWEST:
        return _unable(f"only {found.years} pairs of years")
    row = {
        "store": " + ".join(names),
        "years": found.years,
        "stored": found.stored,
        "nbp": found.taken_up,
        "misfit": found.misfit,
        "relative": found.relative,
        "r": found.r,
        "ratio": found.ratio,
    }
    wrong = _scale_or_sign(found)
    if wrong is None and abs(found.relative) <= tolerance:
        return row | {"verdict": "closes", "reason": ""}
    return row | {
        "verdict": "does not close",
        "reason": wrong or _reason(run, names, found, stamp, tolerance),
    }


def _scale_or_sign(found: Misfit) -> str | None:
    """Whether nbp has the wrong sign or counts another mass, told by the yearly changes."""
    if found.r < -0.5:
        return f"sign: nbp is positive {'up' if flux_var('nbp').positive == 'down' else 'down'}"
    if not found.r > _FOLLOWS:
        return None
    if 1.0 / _SCALE < found.ratio < _SCALE:
        return None
    for species, other in (("CO2", "C"), ("C", "CO2")):
        if 1.0 / _SCALE < found.ratio / mass_ratio(species, other) < _SCALE:
            return f"units: nbp counts mass of {species}, the stores of {other}"
    return f"units: yearly changes are {found.ratio:.3g} times nbp"


def _reason(
    run: pd.DataFrame,
    names: tuple[str, ...],
    found: Misfit,
    stamp: Literal["mean", "end"],
    tolerance: float,
) -> str:
    """The first change of store or flux that makes the run close; else what kind of misfit it is."""

    def closes(store: Sequence[str], flux: np.ndarray) -> bool:
        tried = misfit(_sum(run, store), flux, stamp=stamp)
        size = found.misfit / found.relative if found.relative else np.nan
        better = abs(tried.misfit) <= min(tolerance * abs(size), 0.5 * abs(found.misfit))
        return better and tried.r >= found.r

    flux = run["nbp"].to_numpy(float)
    pools = [p for p in POOLS if p in run]
    if names == ("cLand",):
        if "cProduct" in run and closes(("cLand", "cProduct"), flux):
            return "stores: cLand leaves out the product pools"
        if set(_NEEDED) <= set(pools) and closes(pools, flux):
            return f"stores: the sum of pools ({' + '.join(pools)}) closes, cLand does not"
    elif "cProduct" in pools and closes([p for p in pools if p != "cProduct"], flux):
        return "stores: closes without the product pools, which nbp does not count"
    columns = {n: run[n].to_numpy(float) for n in ("npp", "rh", "fFire", "fLuc") if n in run}
    if {"npp", "rh"} <= set(columns):
        nep = columns["npp"] - columns["rh"]
        if closes(names, nep):
            return "flux: stores follow npp - rh; nbp counts losses that they do not"
        if "fFire" in columns and closes(names, nep - columns["fFire"]):
            return "flux: stores follow npp - rh - fFire; nbp counts losses that they do not"
    if "fLuc" in columns:
        if closes(names, flux - columns["fLuc"]):
            return "flux: closes with nbp - fLuc; nbp leaves out land-use change"
        if closes(names, flux + columns["fLuc"]):
            return "flux: closes with nbp + fLuc; stores leave out land-use change"
    if found.r > _FOLLOWS:
        side = "gain more" if found.misfit > 0 else "gain less"
        return f"steady: yearly changes follow nbp, but stores {side} than it; a flux is missing from nbp"
    absent = [p for p in POOLS if p not in run]
    if names != ("cLand",) and absent:
        return f"stores: no cLand, and no {', '.join(absent)}"
    if names != ("cLand",):
        return "stores: no cLand; the pools leave something out (dead wood is in none of them)"
    return f"unexplained: yearly changes agree with nbp to r = {found.r:.2f} only"


def _store(run: pd.DataFrame) -> tuple[str, ...] | None:
    """cLand if the run has it, else its pools; None if they are not the land's carbon."""
    if "cLand" in run:
        return ("cLand",)
    if not set(_NEEDED) <= set(run.columns):
        return None
    return tuple(p for p in POOLS if p in run)


def _sum(run: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    return np.asarray(run[list(names)].sum(axis=1, skipna=False), float)


def _unable(reason: str) -> dict[str, object]:
    empty = dict.fromkeys(("stored", "nbp", "misfit", "relative", "r", "ratio"), float("nan"))
    return {"verdict": "cannot be checked", "reason": reason, "store": "", "years": 0} | empty
