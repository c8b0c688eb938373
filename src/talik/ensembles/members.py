"""Who is in an ensemble: which model, of which family and group, with layered soil carbon or not, with fire or not.

Members are not independent. Several runs of one group count as one member (`group_means`); members that share a land
model are one family, for statistics that leave a family out or weight families equally.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pandas as pd

from talik.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of an ensemble. A model that takes part in two projects is two members of one group or family."""

    model: str
    """Its name in the member table."""
    family: str
    """Models that share a land model."""
    group: str
    """Who submitted it: the models of one group are averaged first and are one member."""
    project: str
    layered: bool
    """Whether soil carbon is resolved over depth, so that permafrost carbon can be simulated."""
    fire: bool
    """Whether the run simulates fire."""
    litter_in_soil: bool = False
    """Whether soil carbon holds all litter, so that an absent litter pool is no hole."""


_NAMES = tuple(f.name for f in fields(Member))
_OPTIONAL = ("litter_in_soil",)
_FLAGS = ("layered", "fire", "litter_in_soil")


def members_of(table: pd.DataFrame | Iterable[Member]) -> tuple[Member, ...]:
    """Members from a table with one row a model (columns as `Member`), checked.

    ConfigError: columns missing, a name that is blank, a model twice, a flag that is not true or false, a group whose
    models differ in family, layered or fire (their mean would be neither).
    """
    if not isinstance(table, pd.DataFrame):
        found = tuple(table)
    else:
        lacking = [c for c in _NAMES if c not in table and c not in _OPTIONAL]
        if lacking:
            raise ConfigError(
                f"members: no column {', '.join(lacking)}; found {', '.join(map(str, table.columns))}. Give one row a "
                "model with columns model, family, group, project, layered, fire."
            )
        rows = table[[c for c in _NAMES if c in table]].to_dict("records")
        for row in rows:
            wrong = [f for f in _FLAGS if f in row and row[f] not in (True, False)]
            blank = [k for k, v in row.items() if k not in _FLAGS and not (isinstance(v, str) and v.strip())]
            if blank:
                raise ConfigError(
                    f"members: {blank[0]} of {row['model']} is {row[blank[0]]!r}; expected a name. A model without "
                    "kin is a family and a group of its own."
                )
            if wrong:
                raise ConfigError(
                    f"members: {wrong[0]} of {row['model']} is {row[wrong[0]]!r}; expected true or false. It is "
                    "not guessed."
                )
        found = tuple(
            Member(**{str(k): bool(v) if k in _FLAGS else str(v) for k, v in row.items()})  # type: ignore[arg-type]
            for row in rows
        )
    _check(found)
    return found


def members_frame(members: Iterable[Member]) -> pd.DataFrame:
    """One row a member, columns as `Member`."""
    return pd.DataFrame([asdict(m) for m in members], columns=list(_NAMES))


def group_means(values: pd.DataFrame, members: Iterable[Member], keys: list[str]) -> pd.DataFrame:
    """Mean of `value` over the models of each group, for each combination of `keys`: one row a member of the ensemble.

    Columns `keys`, group, family, layered, fire, models (names, in order), n_models, value. A group's mean is over
    those of its models that have a value. ConfigError: a model that is not among the members.
    """
    known = members_frame(members)
    unknown = sorted(set(map(str, values["model"])) - set(known["model"]))
    if unknown:
        raise ConfigError(
            f"members: model {', '.join(unknown)} of the table is not described; known are "
            f"{', '.join(known['model'])}. Add a row with its family, group, project, layered and fire, or drop it."
        )
    joined = values.merge(known, on="model", how="left").sort_values("model", kind="stable")
    by = [*keys, "group", "family", "layered", "fire"]
    groups = joined.groupby(by, sort=True)
    return groups.agg(
        models=("model", ", ".join), n_models=("model", "size"), value=("value", "mean")
    ).reset_index()


def _check(members: tuple[Member, ...]) -> None:
    if not members:
        raise ConfigError("members: the table is empty; expected one row a model.")
    frame = members_frame(members)
    twice = frame.loc[frame["model"].duplicated(), "model"]
    if len(twice):
        raise ConfigError(
            f"members: model {twice.iloc[0]} has two rows; expected one. Runs of one model in several projects need "
            "names of their own and one group."
        )
    for what in ("family", "layered", "fire"):
        mixed = frame.groupby("group")[what].nunique()
        if (mixed > 1).any():
            one = str(mixed[mixed > 1].index[0])
            raise ConfigError(
                f"members: the models of group {one} differ in {what}; their mean would be neither. Give them "
                "groups of their own."
            )
