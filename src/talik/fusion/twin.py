"""Pixels whose truth is known: a made-up northern climate, DALEC itself, and observations with known errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from talik.errors import InputError
from talik.fusion.axis import TimeAxis
from talik.fusion.coordinates import DISTANCES, from_parameters, mean_year, to_parameters
from talik.fusion.dalec import simulate
from talik.fusion.drivers import Drivers
from talik.fusion.likelihood import equivalents
from talik.fusion.observation_errors import StreamError
from talik.fusion.observations import NbeStream, Observations, Stream, nbe_stream, stream
from talik.fusion.parameters import P
from talik.fusion.posterior import BlockData, block_data, judge_parameters
from talik.fusion.switches import Switches
from talik.fusion.trajectory import Trajectory
from talik.rng import named_rng

Floats = NDArray[np.float64]

SOLAR = 118.1
"""Solar constant, MJ m-2 d-1."""
CLEAR = 0.42
"""Share of the radiation above the atmosphere that comes to the ground."""

TRIES = 4_000
"""States tried when a twin looks for one that keeps the hard constraints."""

REFERENCE = np.concatenate(
    [
        [
            1.2e-3,
            0.54,
            0.08,
            0.40,
            1.30,
            8e-5,
            2.2e-3,
            3e-3,
            1.6e-5,
            0.05,
            18.0,
            516.0,
            0.25,
            35.0,
            622.0,
            50.0,
            60.0,
        ],
        [56.0, 34.5, 129.0, 3200.0, 180.0, 16000.0, 0.5, 0.85, 0.30, 0.02, 0.70],
    ]
)
"""A northern forest pixel; its pools are replaced by those of its own seasonal cycle in a twin."""


@dataclass(frozen=True)
class Climate:
    """A northern climate: latitude, mean and range of monthly temperature (degC), and how much years differ (K)."""

    latitude: float = 62.0
    mean: float = -3.0
    half_range: float = 18.0
    diurnal: float = 10.0
    between_years: float = 1.2
    burned_per_year: float = 0.003


@dataclass(frozen=True)
class Noise:
    """Errors of the observations of a twin: what is added, and what is assumed (sd).

    lai : m2 m-2.     wood : share of it.     nbe : g C m-2 d-1.     soc : share of it. `true_nbe` is the sd of the
    noise that is added to NBE where it differs from the assumed one.
    """

    lai: float = 0.25
    wood: float = 0.25
    nbe: float = 1.04
    soc: float = 0.235
    true_nbe: float | None = None


def climate_drivers(axis: TimeAxis, climates: list[Climate], seed: int) -> Drivers:
    """Monthly drivers (time, pixel, 1) of made-up climates; the same seed gives the same weather."""
    n = axis.years.size
    middle = (axis.doy_end - axis.dt / 2)[:, None]
    latitude = np.array([c.latitude for c in climates])
    season = np.cos(2.0 * np.pi * (middle - 200.0) / 365.0)
    noise = np.stack(
        [_weather(axis, c, named_rng(seed, f"weather {i}")) for i, c in enumerate(climates)], axis=1
    )
    mean = np.array([c.mean for c in climates]) + season * np.array([c.half_range for c in climates]) + noise
    half_day = np.array([c.diurnal for c in climates]) / 2 * (1.0 + 0.2 * season)
    tmin, tmax = mean - half_day, mean + half_day
    cloud = 1.0 + 0.08 * np.stack(
        [named_rng(seed, f"cloud {i}").standard_normal(n) for i in range(len(climates))], axis=1
    )
    sw = CLEAR * cloud * above_atmosphere(latitude, middle)
    vpd = 0.35 * (_saturated(tmax) - _saturated(tmin)) + 20.0
    when = axis.years + (axis.months - 0.5) / 12.0
    co2 = np.broadcast_to((369.5 + 2.1 * (when - 2001.0))[:, None], mean.shape)
    summer = ((axis.months >= 6) & (axis.months <= 8))[:, None]
    fire_years = np.stack(
        [named_rng(seed, f"fire {i}").random(np.unique(axis.years).size) < 0.5 for i in range(len(climates))],
        axis=1,
    )
    burning = summer & fire_years[np.searchsorted(np.unique(axis.years), axis.years)]
    burned = np.array([c.burned_per_year for c in climates]) * 2.0 / 3.0 * burning

    def each(x: Floats) -> jax.Array:
        return jnp.asarray(np.broadcast_to(x, mean.shape)[..., None], float)

    return Drivers(
        dt=each(axis.dt[:, None]),
        doy_end=each(axis.doy_end[:, None]),
        tmin=each(tmin),
        tmax=each(tmax),
        sw=each(sw),
        co2=each(co2),
        vpd=each(vpd),
        wind=each(np.array(3.0)),
        burned=each(burned),
        loss=each(np.array(0.0)),
        latitude=jnp.asarray(latitude[:, None], float),
        fires=bool(burned.any()),
        losses=False,
    )


def above_atmosphere(latitude: Floats, day: Floats) -> Floats:
    """Daily radiation above the atmosphere, MJ m-2 d-1 (Allen et al. 1998, equation 21).

    latitude : degrees north (pixel,).     day : of the year (time, 1).
    """
    near = 1.0 + 0.033 * np.cos(2.0 * np.pi * day / 365.0)
    declination = 0.409 * np.sin(2.0 * np.pi * day / 365.0 - 1.39)
    phi = np.deg2rad(latitude)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    high = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return np.asarray(SOLAR / np.pi * near * np.maximum(high, 0.0))


def _weather(axis: TimeAxis, climate: Climate, rng: np.random.Generator) -> Floats:
    """Departures from the mean season, K: of years, and of months."""
    years = np.unique(axis.years)
    of_year = climate.between_years * 0.5 * rng.standard_normal(years.size)
    return np.asarray(
        of_year[np.searchsorted(years, axis.years)]
        + climate.between_years * rng.standard_normal(axis.years.size)
    )


def _saturated(t: Floats) -> Floats:
    """Saturation vapour pressure, Pa (Magnus)."""
    return np.asarray(610.94 * np.exp(17.625 * t / (t + 243.04)))


class Twin(NamedTuple):
    """A block of pixels whose truth is known: parameters (28, pixel, 1) and the trajectory they make."""

    axis: TimeAxis
    drivers: Drivers
    observations: Observations
    theta: jax.Array
    trajectory: Trajectory


def observe(
    axis: TimeAxis, drivers: Drivers, theta: jax.Array, switches: Switches, noise: Noise, seed: int
) -> Twin:
    """Observations of true parameters theta (28, pixel, 1): LAI from April to October, two maps of wood, NBE of all
    months, and soil carbon, each with its error."""
    trajectory = jax.jit(simulate, static_argnames="switches")(theta, drivers, switches=switches)
    true = {name: np.asarray(x[..., 0]) for name, x in equivalents(theta, trajectory).items()}
    time, pixels = true["lai"].shape
    error = _errors(seed, "observations", pixels)
    lai = np.maximum(true["lai"] + noise.lai * error(time), 0.0)
    januaries = np.flatnonzero(axis.months == 1)
    maps = np.zeros((time, 1), bool)
    maps[januaries[[len(januaries) // 2, -1]]] = True
    wood_sd = noise.wood * true["wood"]
    wood = true["wood"] + wood_sd * error(time)
    added = noise.nbe if noise.true_nbe is None else noise.true_nbe
    nbe = true["nbe"] + added * error(time)
    som = np.asarray(theta[P.C_SOM, :, 0])
    soc_sd = noise.soc * som
    soc = som + soc_sd * error()
    seen = Observations(
        lai=stream("lai", np.where(_growing(axis), lai, np.nan), np.full(lai.shape, noise.lai)),
        wood=stream("wood", np.where(maps, wood, np.nan), wood_sd),
        nbe=nbe_stream(nbe, np.full(nbe.shape, noise.nbe), axis.years, axis.months, switches.nbe),
        soc=stream("soc", soc, soc_sd),
    )
    return Twin(axis, drivers, seen, theta, trajectory)


def observe_exactly(
    axis: TimeAxis,
    drivers: Drivers,
    theta: jax.Array,
    switches: Switches,
    noise: Noise,
    seed: int,
) -> Twin:
    """Observations of true parameters theta (28, pixel, 1) whose errors are drawn from the likelihood itself.

    What simulation-based calibration needs: no value is cut off, and no assumed sd depends on the truth. LAI may be
    negative; wood and soil carbon have lognormal errors with the sds of `noise`; NBE has the errors that its form in
    `switches` assumes (`noise.true_nbe` is not used).
    """
    trajectory = jax.jit(simulate, static_argnames="switches")(theta, drivers, switches=switches)
    true = {name: np.asarray(x[..., 0]) for name, x in equivalents(theta, trajectory).items()}
    time, pixels = true["lai"].shape
    error = _errors(seed, "exact observations", pixels)

    def lognormal(name: str, value: Floats, sd: float) -> Stream:
        return stream(name, value, np.ones(value.shape), StreamError(error="lognormal", factor=np.exp(sd)))

    def nbe(value: Floats, sd: float) -> NbeStream:
        return nbe_stream(value, np.full(value.shape, sd), axis.years, axis.months, switches.nbe)

    maps = np.zeros((time, 1), bool)
    januaries = np.flatnonzero(axis.months == 1)
    maps[januaries[[len(januaries) // 2, -1]]] = True
    lai = true["lai"] + noise.lai * error(time)
    wood = true["wood"] * np.exp(noise.wood * error(time))
    colour = np.linalg.pinv(np.moveaxis(np.asarray(nbe(true["nbe"], noise.nbe).whitening), 3, 1))
    errors = np.einsum("ypij,yjp->yip", colour, error(len(colour), 12)).reshape(-1, pixels)
    seen = Observations(
        lai=stream("lai", np.where(_growing(axis), lai, np.nan), np.full(lai.shape, noise.lai)),
        wood=lognormal("wood", np.where(maps, wood, np.nan), noise.wood),
        nbe=nbe(true["nbe"] + errors[axis.months[0] - 1 :][:time], noise.nbe),
        soc=lognormal("soc", np.asarray(theta[P.C_SOM, :, 0]) * np.exp(noise.soc * error()), noise.soc),
    )
    return Twin(axis, drivers, seen, theta, trajectory)


def _errors(seed: int, label: str, pixels: int) -> Callable[..., Floats]:
    """What draws standard normal errors (*shape, pixel), from a stream for each pixel."""
    draws = [named_rng(seed, f"{label} {i}") for i in range(pixels)]

    def error(*shape: int) -> Floats:
        return np.stack([rng.standard_normal(shape) for rng in draws], axis=-1)

    return error


def without_values(observations: Observations) -> Observations:
    """The same streams of the same shapes, with nothing observed."""

    def blank(known: Stream | None) -> Stream | None:
        return None if known is None else replace(known, seen=np.zeros(known.seen.shape, bool))

    nbe = observations.nbe
    return Observations(
        lai=blank(observations.lai),
        wood=blank(observations.wood),
        nbe=nbe
        and replace(
            nbe, whitening=np.zeros(nbe.whitening.shape), n=np.zeros(nbe.n.shape, np.asarray(nbe.n).dtype)
        ),
        nee=blank(observations.nee),
        gpp=blank(observations.gpp),
        soc=blank(observations.soc),
        lcma=blank(observations.lcma),
    )


def _growing(axis: TimeAxis) -> NDArray[np.bool_]:
    """April to October (time, 1)."""
    return np.asarray(((axis.months >= 4) & (axis.months <= 10))[:, None])


def reference_twin(years: int, switches: Switches, seed: int = 0, noise: Noise = Noise(true_nbe=0.3)) -> Twin:
    """The forest pixel of `REFERENCE` near its seasonal cycle, 2001 on; its pools keep the hard constraints."""
    axis = TimeAxis.of_years(2001, 2000 + years)
    drivers = climate_drivers(axis, [Climate()], seed)
    year, mean = mean_year(drivers), jnp.asarray(drivers.mean_temperature).mean(axis=0)
    u = from_parameters(jnp.asarray(REFERENCE)[:, None, None], year, mean, switches)
    rng = named_rng(seed, "pools of the reference twin")
    tried = u + jnp.zeros((1, u.shape[1], TRIES)).at[:, np.array(DISTANCES)].set(
        jnp.asarray(0.2 * rng.standard_normal((len(DISTANCES), TRIES)))
    )
    theta = parameters_at(tried, year, mean, switches)
    data = block_data(drivers, Observations())
    good = np.flatnonzero(np.asarray(passing(theta, data, switches))[0])
    if not good.size:
        raise InputError(
            f"twin: none of {TRIES} states near the reference keeps the constraints; change the seed."
        )
    return observe(axis, drivers, theta[:, :, good[:1]], switches, noise, seed)


@partial(jax.jit, static_argnums=3)
def parameters_at(u: jax.Array, year: Drivers, mean_temperature: jax.Array, switches: Switches) -> jax.Array:
    """Parameters (28, pixel, chain) at coordinates u (pixel, 28, chain); see `to_parameters`."""
    return to_parameters(u, year, mean_temperature, switches).theta


@partial(jax.jit, static_argnums=2)
def passing(theta: jax.Array, data: BlockData, switches: Switches) -> jax.Array:
    """Whether parameters (28, pixel, chain) keep all hard constraints and bounds (pixel, chain)."""
    return judge_parameters(theta, data, switches)[1].passes
