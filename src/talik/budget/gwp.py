"""Gases in one unit: CO2 equivalents by global warming potential.

E [Tg CO2-C eq] = F_CO2-C + F_CH4-C (CH4/C) GWP_CH4 (C/CO2) + F_N2O-N (N2O/2N) GWP_N2O (C/CO2), the brackets
being mass ratios from the flux table. Which CH4 factor applies is a property of each post's origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from talik.errors import ConfigError
from talik.flux.table import mass_ratio
from talik.posts.post import Post, PostKey
from talik.posts.recipe import Recipe, Term, flatten, order

HORIZONS = (20, 100, 500)
SOURCE = "IPCC AR6 WG1, Forster et al. 2021, Table 7.15"

_AR6: dict[tuple[str, str], tuple[float, float, float]] = {
    ("CO2", ""): (1.0, 1.0, 1.0),
    ("CH4", "fossil"): (82.5, 29.8, 10.0),
    ("CH4", "non-fossil"): (79.7, 27.0, 7.2),
    ("N2O", ""): (273.0, 273.0, 130.0),
}

PARTS = {"CO2": "from_co2", "CH4": "from_ch4", "N2O": "from_n2o"}
"""Gas to the last part of the id under which its share of a CO2-equivalent total stands."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A global warming potential: `horizon` in years and, if given, one factor for all CH4."""

    horizon: int = 100
    ch4: float | None = None

    def __post_init__(self) -> None:
        if self.horizon not in HORIZONS:
            raise ConfigError(
                f"horizon {self.horizon} has no AR6 factors; choose one of: 20, 100, 500 (years)."
            )
        if self.ch4 is not None and not 0 < self.ch4 < 1000:
            raise ConfigError(f"ch4-gwp {self.ch4}: expected a factor such as 29.8 (kg CO2 per kg CH4).")

    def factor(self, gas: str, origin: str | None = None) -> float:
        """GWP of a gas, kg CO2 per kg of the gas. CH4 of no stated origin is non-fossil."""
        if gas == "CH4":
            if self.ch4 is not None:
                return self.ch4
            return _AR6["CH4", origin or "non-fossil"][HORIZONS.index(self.horizon)]
        return _AR6[gas, ""][HORIZONS.index(self.horizon)]

    def weight(self, gas: str, origin: str | None = None) -> float:
        """Tg CO2-C eq per Tg of the post's element (C or N)."""
        element = "N" if gas == "N2O" else "C"
        return mass_ratio(element, gas) * self.factor(gas, origin) * mass_ratio("CO2", "C")

    def describe(self) -> dict[str, Any]:
        """The factors in use, each with its source."""
        chosen = {"source": "chosen by the user (--ch4-gwp)"} if self.ch4 is not None else {"source": SOURCE}
        return {
            "horizon_years": self.horizon,
            "CH4 fossil": {"value": self.factor("CH4", "fossil"), **chosen},
            "CH4 non-fossil": {"value": self.factor("CH4", "non-fossil"), **chosen},
            "N2O": {"value": self.factor("N2O"), "source": SOURCE},
        }


def co2e_recipes(recipes: Iterable[Recipe], posts: Mapping[PostKey, Post], metric: Metric) -> list[Recipe]:
    """Recipes of the CO2-equivalent total of every derived post that exists for all three gases.

    For a derived id X: `X.from_co2`, `X.from_ch4`, `X.from_n2o` (gas CO2e, part of X) and their sum X. A total
    for which a gas was not estimated gets none: a sum over two gases is not comparable with one over three.
    """
    ordered = order(recipes, posts)
    flat = flatten(ordered)
    accept = {r.key: r.accept for r in ordered}
    out: list[Recipe] = []
    for post_id in dict.fromkeys(r.id for r in ordered):
        if any((post_id, gas) not in flat for gas in PARTS):
            continue
        parts = []
        for gas, part in PARTS.items():
            terms = []
            for key, weight in flat[post_id, gas].items():
                origin = posts[key].origin
                factor = metric.factor(gas, origin)
                why = f"{weight:.4g} in the {gas} total"
                if gas != "CO2":
                    kind = f" {origin or 'non-fossil'}" if gas == "CH4" else ""
                    why += f", GWP-{metric.horizon} of{kind} {gas} {factor:g}"
                terms.append(Term(*key, weight * metric.weight(gas, origin), why))
            parts.append(
                Recipe(
                    id=f"{post_id}.{part}",
                    gas="CO2e",
                    op="convert",
                    terms=tuple(terms),
                    like=(post_id, gas),
                    part_of=post_id,
                )
            )
        out += parts
        out.append(
            Recipe(
                id=post_id,
                gas="CO2e",
                op="sum",
                terms=tuple(Term(p.id, "CO2e") for p in parts),
                accept=tuple(dict.fromkeys(a for gas in PARTS for a in accept.get((post_id, gas), ()))),
            )
        )
    return out
