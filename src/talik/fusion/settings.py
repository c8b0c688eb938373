"""The `fusion` section of a project file: pixels, drivers, observations, model, sampler, products."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from talik.config import Frozen
from talik.fusion.dependence import ALPHAS, DRAWS, LENGTHS_KM
from talik.fusion.hierarchical import SHARED
from talik.fusion.observation_errors import NbeError, StreamError, TowerError
from talik.fusion.parameters import SHAREABLE
from talik.fusion.quantities import ACM2_ONLY, DISTURBANCE, DRIVERS, STOCKS, STREAMS
from talik.fusion.switches import BEST, REPRODUCE, SURFACE_SHARES, Switches
from talik.regions.totals import MIN_COVERAGE


def _several(given: Any) -> Any:
    """A single text is a list of one; numbers are names too, as YAML reads 2 for a site of that name."""
    if isinstance(given, str):
        return (given,)
    if isinstance(given, list | tuple):
        return tuple(str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in given)
    return given


def _two_years(given: Any) -> Any:
    if isinstance(given, int):
        raise ValueError(f"expected a list of two years, [{given}, {given}] for one")
    return tuple(given) if isinstance(given, list) else given


Year = Annotated[int, Field(ge=1, le=9999)]
Years = Annotated[tuple[Year, Year], BeforeValidator(_two_years)]
LatLon = tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=360)]]
FileNames = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_several)]
SamplerName = Literal["hmc", "smc", "nuts", "ap-mcmc", "de"]
PixelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+=-]*$")]
SplitName = Literal["lai", "wood", "agb", "biomass", "nbe", "nee", "gpp"]


class Co2Files(Frozen):
    """Carbon dioxide by year."""

    files: FileNames
    scenario: str | None = None
    """Rows of a table with a column scenario."""


class DriverFiles(Frozen):
    """Monthly meteorology and disturbance: tables of site-months, or NetCDF and Zarr with (time, cell) or
    (time, lat, lon)."""

    files: FileNames
    variables: Annotated[dict[str, str], Field(default_factory=dict)]
    """Name in the files of a driver (tmin, tmax, sw, co2, vpd, wind, burned, loss) that has another one there."""
    units: Annotated[dict[str, str], Field(default_factory=dict)]
    """Units of a driver whose file does not say them."""
    without: tuple[Literal["burned", "loss"], ...] = ()
    """Disturbance of which nothing is known: it is not simulated, and without fire there is no total of NBE."""
    none: tuple[Literal["burned", "loss"], ...] = ()
    """Disturbance that there is none of, as one knows: nothing burns, nothing is felled."""
    co2: Co2Files | None = None
    """Carbon dioxide, where the files have none."""
    scenario: Annotated[int, Field(ge=1, le=5)] = 2
    """What is done with lost forest: 1 cleared and burnt, 2 felled, 3 whole trees, 4 with stumps, 5 grazed."""

    @model_validator(mode="after")
    def _known(self) -> DriverFiles:
        for field in ("variables", "units"):
            if unknown := sorted(set(getattr(self, field)) - set(DRIVERS)):
                raise ValueError(f"{field}: {', '.join(unknown)}: unknown; known are: {', '.join(DRIVERS)}")
        if both := sorted(set(self.without) & set(self.none)):
            raise ValueError(
                f"{', '.join(both)} in without and in none; without: it is unknown, none: there is none. State one."
            )
        return self


class Stream(Frozen):
    """A kind of observation: where it stands and what its values mean."""

    files: FileNames | None = None
    """Its files; those of the drivers if not given."""
    variable: str | None = None
    """Its name in the files; that of the stream if not given."""
    units: str | None = None
    """Its units, if the files do not say them."""
    species: Literal["C", "CO2"] = "C"
    """Of what a mass is counted."""
    positive: Literal["up", "down"] | None = None
    """Sign of a flux; up (to the atmosphere) for nee and nbe, down for gpp if not given."""
    sd: str | Annotated[float, Field(gt=0)] | None = None
    """Standard error of the product in the units of the values: a variable of the files, or one number."""
    annual_sd: str | Annotated[float, Field(gt=0)] | None = None
    """Of nbe: standard error of the mean of a calendar year in the units of the values, a variable that has one value
    in each year, or one number."""
    error: StreamError = StreamError()
    """Normal errors of the values, or of their logarithms."""
    scale_sd: Annotated[float, Field(gt=0)] = 1.0
    """Multiplies the final standard errors."""
    year: Year | None = None
    """Year of a map (wood, agb, biomass) without time; of a table, year in which the one value of each site counts."""
    depth: Literal["0-1 m", "0-3 m"] = "0-1 m"
    """Of soc."""
    required: bool = False
    """A pixel without any value of it does not run; else the pixel runs without it, and it is told."""

    @model_validator(mode="after")
    def _sd_is_a_name(self) -> Stream:
        if isinstance(self.sd, str) and re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", self.sd.strip(), re.I):
            raise ValueError(
                f"sd: {self.sd!r} is text; a number stands without quotes, and 1.0e-3 with a point"
            )
        return self


Given = Annotated[Stream | None, AfterValidator(lambda stream: Stream() if stream is None else stream)]
"""A stream whose key stands alone in the file has all its defaults; one that does not stand there is None."""


class Observations(Frozen):
    """Streams that are assimilated; none of them for a run without data."""

    lai: Given = None
    wood: Given = None
    agb: Given = None
    biomass: Given = None
    nbe: Given = None
    nee: Given = None
    gpp: Given = None
    soc: Given = None
    lcma: Given = None
    stock_share: Annotated[float, Field(gt=0)] = 0.3
    """Standard error of wood, agb and biomass that state none, as a share of the value."""
    tower_error: TowerError = TowerError()
    """Errors of nee and gpp that state no sd."""
    nbe_error: NbeError = NbeError()
    """Least error of the annual mean and correlation of months, where nbe has errors of two scales."""
    assimilate: Literal["all", "calibration"] = "all"
    """All values, or of the split streams only the rows whose role is calibration; the others are for validation."""
    role: str = "role"
    """Column of tables that says calibration, validation or none."""
    split: tuple[SplitName, ...] = ("nee", "gpp", "nbe")
    """Streams that are split by role."""

    @model_validator(mode="after")
    def _consistent(self) -> Observations:
        given = [name for name in ("wood", "agb", "biomass") if name in self.streams]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; they are of one stock, so state one of them")
        if others := [
            name for name, of in self.streams.items() if of.annual_sd is not None and name != "nbe"
        ]:
            raise ValueError(f"{', '.join(others)}: annual_sd is of nbe alone; leave it out")
        if self.lcma is not None and self.lcma.sd is None:
            raise ValueError("lcma: states no sd, and there is no error model for it; state one")
        return self

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams that are given, by name."""
        return {name: of for name in STREAMS if (of := getattr(self, name)) is not None}


class Sampler(Frozen):
    """How the posterior of a pixel is sampled."""

    method: SamplerName = "hmc"
    chains: Annotated[int, Field(ge=2, le=4096)] = 16
    """Of hmc and nuts; of smc tempered runs, each by itself; ap-mcmc has 3, as the reference, and de 128 walkers."""
    warmup: Annotated[int, Field(ge=25, le=100_000)] = 400
    """Draws of each chain that only tune and are thrown away (hmc)."""
    draws: Annotated[int, Field(ge=20, le=1_000_000)] = 400
    """Draws kept of each chain in a round."""
    rounds: Annotated[int, Field(ge=1, le=1000)] = 10
    """Rounds at most (hmc); sampling ends when every pixel of the block has converged."""
    thin: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Every so many draws one is kept (hmc)."""
    iterations: Annotated[int, Field(ge=1000, le=100_000_000)] = 1_000_000
    """Of each chain of ap-mcmc; the reference runs 10 million."""
    generations: Annotated[int, Field(ge=100, le=10_000_000)] = 20_000
    """Of de, half of which are thrown away."""
    particles: Annotated[int, Field(ge=16, le=100_000)] = 192
    """Of the tempered start, and of each run of smc."""
    members: Annotated[int, Field(ge=2, le=10_000)] = 300
    """Draws of equal weight that the result keeps of each pixel."""


class Regions(Frozen):
    """Totals of regions from pixels of a grid, under each assumption on how errors of pixels go together."""

    cell_degrees: Annotated[float, Field(gt=0, le=10)]
    """Width of the cells whose centres the pixels are."""
    names: FileNames | None = None
    """Regions as elsewhere (sectors, bands, GeoJSON, classes of a raster); the pixels themselves if not given."""
    periods: tuple[Years, ...] | None = None
    """First and last year of each total; all whole years if not given."""
    lengths_km: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = LENGTHS_KM
    """Distances over which errors of pixels become independent."""
    alphas: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)] = ALPHAS
    """Correlation of errors that does not fall with distance."""
    hierarchical: bool = True
    """Also with a population of parameters that all pixels share."""
    shared: Annotated[tuple[str, ...], Field(min_length=1)] = SHARED
    """Names of these parameters."""
    draws: Annotated[int, Field(ge=1000, le=1_000_000)] = DRAWS
    least_coverage: Annotated[float, Field(gt=0, le=1)] = MIN_COVERAGE
    """The least share of a region's land with pixels for a total."""
    budget_region: str | None = None
    """The region whose totals become budget posts; the first if not given."""
    budget_label: str = ""
    """How the posts call it."""

    @model_validator(mode="after")
    def _one_period(self) -> Regions:
        if self.periods is not None and not self.periods:
            raise ValueError("periods: is empty; name one, or leave it out for all years")
        return self

    @model_validator(mode="after")
    def _known_parameters(self) -> Regions:
        if unknown := sorted(set(self.shared) - set(SHAREABLE)):
            raise ValueError(f"shared: {', '.join(unknown)}: unknown; known are: {', '.join(SHAREABLE)}")
        if len(set(self.shared)) < len(self.shared):
            raise ValueError("shared: names a parameter twice")
        return self


class FusionSettings(Frozen):
    """A run of model-data fusion."""

    drivers: DriverFiles
    observations: Observations = Observations()
    pixels: Annotated[tuple[str, ...], BeforeValidator(_several)] | None = None
    """Names of the pixels (sites of a table); all if neither these nor cells are given."""
    cells: tuple[LatLon, ...] | None = None
    """Latitude and longitude of the pixels of a grid."""
    north_of: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Pixels south of it are left out, degrees north."""
    period: Years | None = None
    """First and last year; those of the project, or of the drivers, if not given."""
    preset: Literal["best", "reproduce"] = "best"
    """Switches that belong together: what is held to be right, or what the published budget did."""
    switches: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Switches that differ from the preset."""
    sampler: Sampler = Sampler()
    block: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Pixels that are sampled together, a unit of work; 16, or 512 where JAX has a GPU, if not given."""
    fill: Literal["none", "flagged"] = "none"
    """What becomes of pixels that have not converged in fluxes and totals: left out, or taken with a flag."""
    figures: Annotated[tuple[PixelName, ...], Field(max_length=100)] = ()
    """Pixels whose months are drawn with limits, against the observations."""
    regions: Regions | None = None
    """Totals of regions; none if not given, as for towers, which have no area."""

    @model_validator(mode="after")
    def _consistent(self) -> FusionSettings:
        if self.pixels is not None and self.cells is not None:
            raise ValueError("pixels and cells are both given; state one of them")
        if self.period is not None and self.period[1] < self.period[0]:
            raise ValueError(f"period: last year {self.period[1]} lies before first year {self.period[0]}")
        form, nbe = self.chosen_switches().nbe, self.observations.nbe
        if nbe is not None and nbe.annual_sd is not None and form != "two-scale":
            raise ValueError(
                f"observations.nbe.annual_sd: nbe: {form} does not use it; leave it out, or take two-scale"
            )
        if nbe is not None and "burned" in self.unknown:
            raise ValueError(
                "observations.nbe holds fire, but drivers.without says that nothing is known of it; add burned, say "
                "none: [burned] if nothing burns, or take nee"
            )
        return self

    def chosen_switches(self) -> Switches:
        """The preset with its switches changed; ValueError for an unknown switch or value.

        Where nothing else is stated ACM2 takes bounds of its own (acm2), and the share of soil carbon near the surface
        is that of the depth of the observation.
        """
        preset = {"best": BEST, "reproduce": REPRODUCE}[self.preset]
        known = [field.name for field in dataclasses.fields(Switches)]
        if unknown := sorted(set(self.switches) - set(known)):
            raise ValueError(f"switches: {', '.join(unknown)}: unknown; known are: {', '.join(known)}")
        implied: dict[str, Any] = {}
        if self.switches.get("photosynthesis") == "acm2":
            implied["bounds"] = "acm2"
        if self.observations.soc is not None:
            implied["surface_share"] = SURFACE_SHARES[self.observations.soc.depth]
        chosen = json.dumps({**dataclasses.asdict(preset), **implied, **self.switches})
        try:  # as JSON: there a list is a tuple
            return TypeAdapter(Switches).validate_json(chosen, strict=True)
        except ValidationError as err:
            told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
            raise ValueError(f"switches: {told}") from None

    @property
    def needed(self) -> tuple[str, ...]:
        """Drivers that the files must hold, co2 left aside where it has files of its own."""
        spare = {*self.undisturbed, *(("co2",) if self.drivers.co2 is not None else ())}
        if self.chosen_switches().photosynthesis == "acm1":
            spare |= set(ACM2_ONLY)
        return tuple(name for name in DRIVERS if name not in spare)

    @property
    def undisturbed(self) -> tuple[str, ...]:
        """Disturbance that is not simulated."""
        return tuple(name for name in DISTURBANCE if name in (*self.drivers.without, *self.drivers.none))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Disturbance of which nothing is known."""
        return tuple(name for name in DISTURBANCE if name in self.drivers.without)

    @property
    def assumed(self) -> tuple[str, ...]:
        """What is taken for granted where the settings are silent, a sentence each."""
        given = self.observations
        out = [
            f"{name} states no sd: {100 * given.stock_share:g} % of the value is taken (observations.stock_share)."
            for name, of in given.streams.items()
            if name in STOCKS and of.sd is None and of.error.factor is None
        ]
        if (
            given.nbe is not None
            and given.nbe.annual_sd is None
            and self.chosen_switches().nbe == "two-scale"
        ):
            out.append(
                "nbe states no annual_sd: the error of an annual mean is what monthly errors with a correlation of "
                f"{given.nbe_error.rho:g} imply, at least {given.nbe_error.annual_floor:g} g m-2 d-1."
            )
        return tuple(out)


class Files(Frozen):
    """The files of a run, with whole paths, and the period that is asked for."""

    drivers: tuple[str, ...]
    co2: tuple[str, ...]
    streams: dict[str, tuple[str, ...]]
    period: Years | None

    def all(self) -> list[Path]:
        """Every file or store, once."""
        named = [*self.drivers, *self.co2, *(name for names in self.streams.values() for name in names)]
        return [Path(name) for name in dict.fromkeys(named)]


@dataclasses.dataclass(frozen=True, slots=True)
class InferOptions:
    """What the sampler of a block is told beside the data. `seed` is that of the project, the same for every block."""

    sampler: Sampler
    switches: Switches
    seed: int
