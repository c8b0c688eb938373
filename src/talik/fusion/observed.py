"""Observations as they are read, with the errors of the settings, as the arrays of a likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from talik.fusion import observation_errors as errors
from talik.fusion.axis import Array
from talik.fusion.inputs import Inputs
from talik.fusion.observations import Observations, nbe_stream, stream
from talik.fusion.quantities import STOCKS
from talik.fusion.settings import FusionSettings


def observations_of(inputs: Inputs, which: NDArray[np.intp], settings: FusionSettings) -> Observations:
    """What constrains some pixels, with final errors; streams that the settings do not name are None.

    Where no error is stated, that of wood, aboveground and living biomass is a share of the value, that of LAI and NBE
    is 0 beside the floors and shares of the error model. NEE, GPP and soil carbon take a stated error as it is;
    without one, those of `TowerError` and a share of the stock.
    """
    switches, made = settings.chosen_switches(), dict[str, Any]()
    for name, of in inputs.streams.items():
        stated = settings.observations.streams[name]
        value, sd = with_errors(name, of.value[..., which], of.sd[..., which], of.given_sd, settings)
        if name == "nbe":
            annual_sd = None if of.annual_sd is None else stated.scale_sd * of.annual_sd[:, which]
            made["nbe"] = nbe_stream(
                value,
                sd,
                inputs.axis.years,
                inputs.axis.months,
                switches.nbe,
                annual_sd=annual_sd,
                error=settings.observations.nbe_error,
            )
        else:
            made["wood" if name == "agb" else name] = stream(name, value, sd, stated.error)
    return Observations(**made)


def with_errors(
    name: str, value: Array, stated: Array, told: bool, settings: FusionSettings
) -> tuple[Array, Array]:
    """Values of a stream, aboveground biomass as carbon in wood, and their final errors, NaN where there is no value.

    value, stated : of `Observed`, (time, pixel) or (pixel,).     told : whether errors are stated.
    """
    given = settings.observations
    beside = np.where(np.isfinite(value), np.nan_to_num(stated), np.nan)
    if name in STOCKS and not told:
        beside = given.stock_share * value
    sd = stated
    match name:
        case "lai":
            sd = errors.lai_sd(value, beside)
        case "agb":
            value, sd = errors.wood_from_agb(value, beside, settings.chosen_switches().wood_error)
            sd = errors.wood_sd(value, sd)
        case "wood" | "biomass":
            sd = errors.wood_sd(value, beside)
        case "nbe":
            sd = errors.nbe_sd(beside)
        case "nee" if not told:
            sd = given.tower_error.nee_sd(value)
        case "gpp" if not told:
            sd = given.tower_error.gpp_sd(value)
        case "soc" if not told:
            sd = errors.soc_sd(value, 1 if given.streams["soc"].depth == "0-1 m" else 3)
    return value, given.streams[name].scale_sd * sd


def errors_of_months(inputs: Inputs, which: NDArray[np.intp], settings: FusionSettings) -> dict[str, Array]:
    """Final errors of some pixels' monthly values (time, pixel), assimilated or kept for validation, by stream.

    NaN where there is no value; streams with lognormal errors are left out. Of NBE they are those of the months.
    """
    out = {}
    for name, of in inputs.streams.items():
        if settings.observations.streams[name].error.error == "lognormal" or of.value.ndim < 2:
            continue
        out[name] = np.full(of.value[:, which].shape, np.nan)
        for values in (of.held_out[:, which], of.value[:, which]):
            _, sd = with_errors(name, values, of.sd[:, which], of.given_sd, settings)
            out[name] = np.where(np.isfinite(values) & (sd > 0.0), sd, out[name])
    return out
