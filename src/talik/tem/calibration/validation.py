"""How good a calibration is: its months with scores, by site, variable and use of the years."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talik.errors import InputError
from talik.tem.calibration.section import PARAMETERS, RESULT, TABLES
from talik.tem.scores import scores

MONTHS = TABLES["months"]
RUNS = ("before", "after")
COLUMNS = ("site_id", "year", "month", "variable", "depth_m", "value", "use", *RUNS)
"""What a table of months must hold."""
INTERVAL = ("low", "high")
GROUND = "ground"
"""The use of yearly observations near towers, which nothing was fitted to."""
USES = {"calibration": "fitted", "left_out": "left out", GROUND: "near by, not fitted"}
"""What the uses of observations are called."""


@dataclass(frozen=True)
class Level:
    """A level that Liu et al. (2024) report: R2 of a variable in a use of the years, `least` as they put it."""

    use: str
    variable: str
    least: float
    told: str


LEVELS = (
    Level("calibration", "tsoil", 0.85, "about 0.9"),
    Level("calibration", "nep", 0.7, "above 0.7"),
    Level("left_out", "tsoil", 0.7, "above 0.7"),
    Level("left_out", "nep", 0.69, "0.69 to 0.93"),
)
"""About 0.9 is taken as reached from 0.85 on, which is 0.9 when rounded; a range is reached at its lower end."""


@dataclass(frozen=True)
class Calibration:
    """What `talik tem calibrate` published.

    communities : calibration.json. months : its months, with NEP = -NEE in the place of NEE.
    """

    communities: Mapping[str, Any]
    months: pd.DataFrame

    def community_of(self) -> dict[str, str]:
        """The community of each site that has scores."""
        return {row["site_id"]: name for name, held in self.communities.items() for row in held["scores"]}


def read_calibration(output: Path) -> Calibration:
    """What a calibration left in the output folder of its project.

    InputError: a file is not there, or does not hold what it should.
    """
    missing = [name for name in (PARAMETERS, RESULT, MONTHS) if not (output / name).is_file()]
    if missing:
        raise InputError(
            f"{output}: no {', '.join(missing)}. Run `talik tem calibrate` on the project first; it writes them."
        )
    try:
        communities = json.loads((output / RESULT).read_text(encoding="utf-8"))
    except json.JSONDecodeError as err:
        raise InputError(f"{output / RESULT}: is not JSON ({err}). Run `talik tem calibrate` again.") from err
    months = pd.read_csv(output / MONTHS)
    lacking = [name for name in COLUMNS if name not in months]
    if lacking or months.empty:
        raise InputError(
            f"{output / MONTHS}: {'no rows' if not lacking else 'no column ' + ', '.join(lacking)}; expected a row a "
            f"month with {', '.join(COLUMNS)}. Run `talik tem calibrate` again."
        )
    return Calibration(communities, with_nep(months))


def with_nep(months: pd.DataFrame) -> pd.DataFrame:
    """The months with net ecosystem production, into the land, in the place of net exchange, upward."""
    out = months.copy()
    net = out["variable"] == "nee"
    for name in ("value", *RUNS):
        out[name] = out[name].where(~net, -out[name])
    if set(INTERVAL) <= set(out):
        low, high = out["low"].copy(), out["high"].copy()
        out["low"], out["high"] = low.where(~net, -high), high.where(~net, -low)
    out["variable"] = out["variable"].where(~net, "nep")
    return out


def scores_by_site(months: str) -> list[dict[str, Any]]:
    """A row for each use, site and variable of a table of months (CSV text): `use`, `site_id`, `variable`, the scores
    `before` and `after`, and `inside_interval`, the share of observations inside the interval, if there is one."""
    return score_rows(pd.read_csv(io.StringIO(months)))


def score_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The same of a table with use, site_id, variable, value, before, after, and low and high if there are any."""
    out = []
    for (use, site, variable), rows in table.groupby(["use", "site_id", "variable"], sort=False):
        observed = rows["value"].to_numpy(dtype=np.float64)
        row: dict[str, Any] = {"use": use, "site_id": site, "variable": variable}
        for run in RUNS:
            row[run] = asdict(scores(rows[run].to_numpy(dtype=np.float64), observed))
        if set(INTERVAL) <= set(rows) and not rows[list(INTERVAL)].isna().any(axis=None):
            inside = (rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])
            row["inside_interval"] = float(inside.mean())
        out.append(row)
    return out


def levels_reached(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each of `LEVELS` and site that has its variable in its use: the level, R2 before and after, `reached`
    (None where R2 has no value)."""
    out = []
    for level in LEVELS:
        for row in rows:
            if (row["use"], row["variable"]) == (level.use, level.variable):
                before, after = (row[run]["r2"] for run in RUNS)
                reached = None if after is None else bool(after >= level.least)
                out.append(
                    {
                        **{key: row[key] for key in ("site_id", "use", "variable")},
                        "level": level.told,
                        "before": before,
                        "after": after,
                        "reached": reached,
                    }
                )
    return out


def scores_table(rows: list[dict[str, Any]], community_of: Mapping[str, str]) -> pd.DataFrame:
    """Scores as a table, a row for each use, site, variable and run (before, after)."""
    return pd.DataFrame(
        [
            {
                "site_id": row["site_id"],
                "community": community_of.get(row["site_id"], ""),
                "use": row["use"],
                "variable": row["variable"],
                "run": run,
                **row[run],
                "inside_interval": row.get("inside_interval") if run == "after" else None,
            }
            for row in rows
            for run in RUNS
        ]
    )
