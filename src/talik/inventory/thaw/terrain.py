"""What a table of terrains holds: states with areas, rates between them, and the carbon flux of each state."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talik.config import Frozen
from talik.flux.table import Direction

SPIN_UP, PROJECTION = "spin_up", "projection"
"""Phases of a table beside its scenarios; `PROJECTION` stands for every scenario that has no entry of its own."""
MOST_RATE_PER_YEAR = 50.0

Varied = Literal["rate", "growth", "area", "nee", "ch4", "doc"]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Rate(Frozen):
    """A rate of one phase: `rate + growth * (years since the phase began)`."""

    rate: Annotated[float, Field(ge=0, le=MOST_RATE_PER_YEAR)]
    """Share of the area of a state that leaves it in a year, yr-1."""
    growth: float = 0.0
    """Change of the rate, yr-2."""


class Transition(Frozen):
    """Area passes from one state to another at `factor` times a rate that is named; others may share it."""

    origin: Annotated[str, Field(alias="from")]
    target: Annotated[str, Field(alias="to")]
    rate: str
    factor: Annotated[float, Field(gt=0)] = 1.0


class State(Frozen):
    """A state of the ground and its area when the run begins."""

    area_km2: Annotated[float, Field(ge=0)]
    feature: bool
    """Whether the state is made by abrupt thaw; undisturbed ground is not."""


class Flux(Frozen):
    """Carbon flux of a state in g C m-2 yr-1, up positive once it is read (a file states its own sign)."""

    nee: float
    """Net exchange of CO2."""
    ch4: float
    """Exchange of CH4, as mass of carbon."""
    doc: float
    """Dissolved (and, on hillslopes, eroded) carbon that leaves with water."""
    doc_reburied: Share = 0.0
    """Share of `doc` that is buried again and never counted."""
    doc_to_co2: Share = 0.0
    """Share of `doc`, after burial, that becomes CO2."""
    doc_to_ch4: Share = 0.0
    """Share of `doc`, after burial, that becomes CH4."""

    def as_upward(self, factor: int) -> Flux:
        """The same flux with its three numbers times `factor`, +1 or -1."""
        turned = {name: factor * getattr(self, name) + 0.0 for name in ("nee", "ch4", "doc")}
        return self.model_copy(update=turned)


class Part(Frozen):
    """A part of a terrain with states and rates of its own; no area passes between parts."""

    states: Annotated[dict[Name, State], Field(min_length=1)]
    rates: dict[Name, dict[str, Rate]]
    """By name, then phase: `spin_up`, and `projection` or scenarios."""
    transitions: tuple[Transition, ...]
    fluxes: dict[str, dict[str, Flux]]
    """By phase, then state."""
    balances: dict[Name, dict[str, Flux]] = Field(default_factory=dict)
    """Other carbon balances by name, then state: `nee + ch4 + doc` takes the place of the balance of every phase."""

    def rate(self, name: str, phase: str) -> Rate:
        """The rate of a phase (`spin_up` or a scenario)."""
        by_phase = self.rates[name]
        return by_phase[phase] if phase in by_phase else by_phase[PROJECTION]

    def flux(self, state: str, phase: str) -> Flux:
        """The flux of a state in a phase (`spin_up` or a scenario)."""
        return (self.fluxes[phase] if phase in self.fluxes else self.fluxes[PROJECTION])[state]


class Leading(Frozen):
    """A number that is varied in the Monte Carlo: one factor for all parts and phases, uniform in 1 -/+ range."""

    vary: Varied
    of: str
    """The rate (for `rate` and `growth`) or the state (for the others)."""
    range: Annotated[float, Field(gt=0, lt=1)] = 0.4

    @property
    def name(self) -> str:
        """Such as `growth disturbance`."""
        return f"{self.vary} {self.of}"


class PostRule(Frozen):
    """The budget post of a terrain: its id, what it lies inside, and the states that it counts."""

    id: str
    part_of: str | None = None
    states: tuple[str, ...] = ()
    """Empty for all."""
    partly: bool = True
    """Whether the post is a part of abrupt thaw; `false` lets it stand for abrupt thaw in comparisons of budgets."""
    note: str


class Terrain(Frozen):
    """A terrain: its parts, what is varied, and its post."""

    label: str
    parts: Annotated[dict[Name, Part], Field(min_length=1)]
    leading: tuple[Leading, ...] = ()
    post: PostRule | None = None
    notes: dict[str, str] = Field(default_factory=dict)
    """By scenario: choices that a reader of its results has to know."""


class Table(Frozen):
    """Terrains, and the years and scenarios they have in common."""

    positive: Direction
    """The sign of the fluxes: `up` to the atmosphere, `down` into the land. Always `up` once it is read."""
    first_year: int
    """The spin-up begins on 1 January of this year."""
    scenario_year: int
    """Spin-up ends and scenarios begin on 1 January of this year."""
    scenarios: dict[Name, str]
    """Label by name."""
    source: str
    extends: Literal["published"] | None = None
    """`published` adds the terrains of the file to the published ones; those of the same name take their place."""
    terrains: Annotated[dict[Name, Terrain], Field(min_length=1)]
