"""What follows from the fluxes and stores of a run, year by year and over a period; nothing absent is filled.

NEP = NPP - SHR; NBP of a model with fire = NPP - SHR - Ffire, for runs that simulate fire only; Ra = GPP - NPP where
it is not given; carbon use efficiency CUE = NPP/GPP; mean residence time MRT = (soil + litter C)/SHR. CUE and MRT are
ratios of sums over the years, and over the whole region because the terms are totals. Source: Hugelius et al. (2024),
process-model ensemble.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talik.ensembles.members import Member
from talik.errors import ConfigError, CoverageError, InputError, UnitsError

RUN = ["model", "region", "scenario"]
COLUMNS = (*RUN, "year", "variable", "value", "units")
RATIOS = {"cue": ("npp", "gpp"), "mrt": ("soil_litter_c", "rh")}
"""Ratio: numerator, denominator."""


@dataclass(frozen=True, slots=True)
class Annual:
    """Annual values in wide form with what derives from them."""

    values: pd.DataFrame
    """Index model, region, scenario, year; one column a variable, NaN where absent. No ratios: see `period_values`."""
    units: dict[str, str]
    """Units of each column and ratio."""
    notes: tuple[str, ...]


def check_table(table: pd.DataFrame) -> dict[str, str]:
    """Units of each variable of a member table that is in order.

    InputError: columns missing, a row twice, infinite values. UnitsError: a variable in two units, or in none.
    """
    lacking = [c for c in COLUMNS if c not in table]
    if lacking:
        raise InputError(
            f"member table: no column {', '.join(lacking)}; found {', '.join(map(str, table.columns))}. Expected "
            f"{', '.join(COLUMNS)}."
        )
    keys = [*RUN, "year", "variable"]
    twice = table.duplicated(keys)
    if twice.any():
        first = " ".join(map(str, table.loc[twice, keys].iloc[0]))
        raise InputError(f"member table: {int(twice.sum())} rows are given twice, first {first}. Remove one.")
    if np.isinf(table["value"].to_numpy(float)).any():
        raise InputError("member table: infinite values; expected numbers, or NaN for missing. Correct them.")
    units = table.groupby("variable")["units"].unique()
    for name, found in units.items():
        if len(found) != 1 or not isinstance(found[0], str) or not found[0]:
            raise UnitsError(
                f"member table: {name} is in {', '.join(map(repr, found))}; expected one unit. Convert the rows."
            )
    return {str(name): str(found[0]) for name, found in units.items()}


def annual(table: pd.DataFrame, members: Iterable[Member]) -> Annual:
    """A member table in wide form with nep, nbp_fire (NPP - SHR - Ffire), ra and soil_litter_c where they follow.

    nep is npp - rh; with those two in the table a reported nep, which holds disturbance in some models, is not used.
    nbp_fire is for members with fire, and only in years with fFire: a run without it has none, never one with fFire of
    0. The reported nbp of a model stays beside it (it holds land use too). soil_litter_c = cSoil + cLitter; cSoil alone
    for members whose cSoil holds the litter.

    InputError: columns, a row twice, infinite values. UnitsError: a variable in two units, or terms of one sum in
    different units. ConfigError: fFire of a member that is said to have no fire.
    """
    units = check_table(table)
    wide = table.pivot(index=[*RUN, "year"], columns="variable", values="value").sort_index()
    wide.columns.name = None
    chosen = tuple(members)
    wide, notes = _derive(wide, units, chosen)
    _ratio_units(units)
    return Annual(wide, units, tuple(notes))


def joined(table: pd.DataFrame, scenario: str, *, after: str = "historical") -> pd.DataFrame:
    """The runs of `after` and, from their end, of `scenario`, as one run that carries the scenario's name.

    Models that lack either are left out. InputError: no such scenario, or years that are in both.
    """
    have = set(map(str, table["scenario"].unique()))
    for name in (scenario, after):
        if name not in have:
            raise InputError(
                f"joined: no scenario {name!r}; found {', '.join(sorted(have))}. Name one of them."
            )
    both = table[table["scenario"].isin([scenario, after])]
    runs = both.groupby(["model", "region"])["scenario"].nunique()
    whole = both.set_index(["model", "region"]).loc[runs.index[runs == 2]].reset_index()
    out = whole.assign(scenario=scenario)
    keys = [*RUN, "year", "variable"]
    if out.duplicated(keys).any():
        raise InputError(
            f"joined: years of {after} and {scenario} overlap; expected one to follow the other. Cut {after}."
        )
    out = out[list(table.columns)]
    out.attrs = dict(table.attrs)
    return out


def period_values(
    data: Annual,
    period: tuple[int, int | None],
    *,
    variables: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Mean over a period of each run and variable, and the ratios; columns model, region, scenario, variable, value,
    units, first_year, last_year, years, coverage.

    period : first and last year; a last year of None is the end of each run, and then a run that begins later counts
    from its own first year. coverage is the share of the period's years that have a value; it is for the caller to
    judge. Ratios take the years that have both terms: sum over sum.
    """
    first, last = period
    if last is not None and last < first:
        raise ConfigError(f"period {first}-{last} ends before it begins; give first and last year.")
    wide = data.values
    year = wide.index.get_level_values("year")
    inside = wide[(year >= first) & (year <= (last if last is not None else year.max()))]
    if inside.empty:
        raise CoverageError(
            f"no year of {first}-{last if last is not None else 'end'} is in the table, which holds {year.min()}-"
            f"{year.max()}. Choose another period."
        )
    spans = inside.reset_index("year").groupby(RUN)["year"].agg(["min", "max"])
    if last is not None:
        spans["min"], spans["max"] = first, last
    length = spans["max"] - spans["min"] + 1
    wanted = list(dict.fromkeys(variables)) if variables is not None else [*wide.columns, *RATIOS]
    _require(data, wanted)
    parts = []
    for name in wanted:
        value, count = _mean_or_ratio(inside, name)
        one = pd.DataFrame({"value": value, "years": count.astype(int)})
        one = one[one["years"] > 0].reset_index()
        parts.append(one.assign(variable=name, units=data.units.get(name, "")))
    out = pd.concat(parts, ignore_index=True)
    spans = spans.rename(columns={"min": "first_year", "max": "last_year"}).assign(length=length)
    out = out.merge(spans.reset_index(), on=RUN, how="left")
    out["coverage"] = out["years"] / out.pop("length")
    columns = [*RUN, "variable", "value", "units", "first_year", "last_year", "years", "coverage"]
    return out[columns].sort_values(["variable", *RUN], kind="stable").reset_index(drop=True)


def annual_values(data: Annual, name: str) -> pd.Series:
    """Annual values of a variable or ratio, NaN where absent; index as `Annual.values`. ConfigError: no such one."""
    _require(data, [name])
    if name in RATIOS:
        above, below = RATIOS[name]
        if above not in data.values or below not in data.values:
            return pd.Series(np.nan, index=data.values.index, name=name)
        return (data.values[above] / data.values[below].where(data.values[below] != 0.0)).rename(name)
    return data.values[name]


def _require(data: Annual, names: Sequence[str]) -> None:
    unknown = [v for v in names if v not in data.values and v not in RATIOS]
    if unknown:
        raise ConfigError(
            f"variable {', '.join(unknown)} is neither in the table nor derived; known are "
            f"{', '.join([*data.values.columns, *RATIOS])}. Name one of these."
        )


def _mean_or_ratio(inside: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    """Value over the years of each run, and from how many years."""
    if name not in RATIOS:
        groups = inside[name].groupby(level=RUN)
        return groups.mean(), groups.count()
    above, below = RATIOS[name]
    both = inside.reindex(columns=[above, below]).dropna()
    sums = both.groupby(level=RUN).sum()
    ratio = sums[above] / sums[below].where(sums[below] != 0.0)
    return ratio, both[above].groupby(level=RUN).count().where(ratio.notna(), 0)


def _same_units(units: dict[str, str], terms: tuple[str, ...], result: str) -> None:
    if len({units[t] for t in terms}) > 1:
        told = ", ".join(f"{t} in {units[t]}" for t in terms)
        raise UnitsError(
            f"member table: {result} needs terms in one unit; found {told}. Convert them (densities of a region: "
            "talik.sources.reccap2_cmip6.to_totals), or drop the rows."
        )


def _derive(
    wide: pd.DataFrame, units: dict[str, str], members: tuple[Member, ...]
) -> tuple[pd.DataFrame, list[str]]:
    wide, notes = wide.copy(), []
    model = wide.index.get_level_values("model")
    if {"npp", "rh"} <= set(wide):
        _same_units(units, ("npp", "rh"), "nep")
        if "nep" in wide:
            notes.append("nep is npp - rh: the nep of the table, which may hold disturbance, is not used")
        wide["nep"], units["nep"] = wide["npp"] - wide["rh"], units["npp"]
        if "fFire" in wide:
            _same_units(units, ("npp", "fFire"), "nbp_fire")
            burns = model.isin([m.model for m in members if m.fire])
            wrong = sorted(set(model[wide["fFire"].notna() & ~burns & (wide["fFire"] != 0.0)]))
            if wrong:
                raise ConfigError(
                    f"members: {', '.join(wrong)} is said to have no fire but has fFire. Correct `fire`, or drop it."
                )
            wide["nbp_fire"] = (wide["npp"] - wide["rh"] - wide["fFire"]).where(burns)
            units["nbp_fire"] = units["npp"]
    if {"gpp", "npp"} <= set(wide):
        _same_units(units, ("gpp", "npp"), "ra and cue")
        if "ra" in wide:
            _same_units(units, ("gpp", "ra"), "ra")
        given = wide["ra"] if "ra" in wide else pd.Series(np.nan, index=wide.index)
        rest = wide["gpp"] - wide["npp"]
        wide["ra"], units["ra"] = given.fillna(rest), units["gpp"]
        made = sorted(set(model[given.isna() & rest.notna()]))
        if made:
            notes.append(f"ra is gpp - npp where it is not given: {', '.join(made)}")
    if "cSoil" in wide:
        apart = wide["cLitter"] if "cLitter" in wide else pd.Series(np.nan, index=wide.index)
        if "cLitter" in wide:
            _same_units(units, ("cSoil", "cLitter"), "soil_litter_c")
        inside = model.isin([m.model for m in members if m.litter_in_soil])
        wide["soil_litter_c"] = wide["cSoil"] + apart.mask(inside & apart.isna(), 0.0)
        units["soil_litter_c"] = units["cSoil"]
        held = sorted(set(model[inside]))
        if held:
            notes.append(f"soil_litter_c is cSoil alone, which holds the litter, for {', '.join(held)}")
    return wide, notes


def _ratio_units(units: dict[str, str]) -> None:
    units["cue"] = "1"
    if "soil_litter_c" in units and "rh" in units:
        store, rate = units["soil_litter_c"], units["rh"]
        if rate != f"{store} year-1":
            raise UnitsError(
                f"member table: mrt needs rh in '{store} year-1' where soil carbon is in {store!r}; found {rate!r}. "
                "Convert one of them."
            )
        units["mrt"] = "year"
