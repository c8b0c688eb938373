"""The settings of a budget: one frozen value, from the command line or a project file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from talik.budget.reccap2 import Reccap2Options
from talik.config import Frozen
from talik.errors import ConfigError
from talik.posts.combine import DRAWS, GROUP_CORRELATION


class RankPair(Frozen):
    """Rank correlation of two input posts, named ``id/GAS`` (``inventory.uplands/CO2``)."""

    posts: tuple[str, str]
    rank: Annotated[float, Field(ge=-1, le=1)]


class BudgetSettings(Frozen):
    """How a budget is computed. Everything here is stated in the output."""

    posts: str | Annotated[tuple[str, ...], Field(min_length=1)] = "reccap2"
    """``reccap2`` for the published components, a posts file (.yaml, .csv) beside the project file, or the name of a
    section of the project that makes posts (``inventory``); or a list of these. In a list, ``reccap2`` fills what no
    other gives."""
    recipes: str | None = None
    """A YAML file with a list ``recipes``, as in a posts file, that is added to the recipes of the posts."""
    combine: Literal["linear", "independent", "correlated"] = "linear"
    """How limits combine in the headline; all three are always computed."""
    within_group_correlation: Annotated[float, Field(ge=0, le=1)] = GROUP_CORRELATION
    """Rank correlation of posts of one approach and gas under ``correlated``."""
    rank_correlations: tuple[RankPair, ...] = ()
    """Pairs with a rank correlation of their own under ``correlated``."""
    horizon: Literal[20, 100, 500] = 100
    """Years of the global warming potential."""
    ch4_gwp: Annotated[float, Field(gt=0, lt=1000)] | None = None
    """One warming potential for all CH4, fossil or not; 29.8 over 100 years reproduces the published table."""
    seed: Annotated[int, Field(ge=0)] = 0
    draws: Annotated[int, Field(ge=1000, le=20_000_000)] = DRAWS
    """Monte Carlo draws (8 bytes of memory per draw and derived post)."""
    reccap2: Reccap2Options = Reccap2Options()
    """Choices within the published recipe."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source of posts."""
        return (self.posts,) if isinstance(self.posts, str) else self.posts


def settings_from(**values: Any) -> BudgetSettings:
    """Settings from command-line values; a wrong one is a ConfigError that names it."""
    try:
        return BudgetSettings(**values)
    except ValidationError as err:
        first = err.errors()[0]
        name = "-".join(str(p) for p in first["loc"]).replace("_", "-")
        raise ConfigError(f"--{name}: {first['msg']}; found {first['input']!r}.") from err
