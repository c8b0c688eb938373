"""Warming of emission series, where a pulse metric misleads: radiative forcing by impulse response, and GWP*.

A flux that goes on for decades is not a pulse: constant CH4 emissions stop adding forcing after some lifetimes,
constant CO2 emissions do not. Two views of a series of annual fluxes:

* `radiative_forcing`: each year's emission acts at once and decays (the response behind AGWP and GWP);
* `gwp_star`: CO2-warming-equivalent emissions, which weigh the change of a CH4 flux rather than the flux.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from talik.errors import ConfigError
from talik.flux.table import MOLAR, mass_ratio

Array = npt.NDArray[np.float64]

ATMOSPHERE_KG = 5.1352e18  # dry mass (Trenberth and Smith 2005, J. Climate 18, 864)
AIR_G_PER_MOL = 28.97


# radiative efficiency, W m-2 ppb-1, with indirect effects of CH4 and N2O (AR6 WG1 Table 7.15)
EFFICIENCY = {"CO2": 1.33e-5, "CH4": 5.7e-4, "N2O": 2.8e-3}
# perturbation lifetime, years (AR6 WG1 Table 7.15)
LIFETIME = {"CH4": 11.8, "N2O": 109.0}
# share and time scale (years) of a CO2 pulse that is left in the air (Joos et al. 2013, ACP 13, 2793, Table 5)
CO2_SHARE = np.array([0.2173, 0.2240, 0.2824, 0.2763])
CO2_YEARS = np.array([np.inf, 394.4, 36.54, 4.304])


def forcing_per_kg(gas: str) -> float:
    """Radiative forcing of 1 kg of a gas in the air, W m-2 kg-1."""
    if gas not in EFFICIENCY:
        raise ConfigError(f"gas {gas!r}: no radiative efficiency; choose one of: {', '.join(EFFICIENCY)}.")
    kg_per_ppb = 1e-9 * ATMOSPHERE_KG * MOLAR[gas] / AIR_G_PER_MOL
    return EFFICIENCY[gas] / kg_per_ppb


def agwp(gas: str, years: npt.ArrayLike) -> Array:
    """Time-integrated forcing of a pulse of 1 kg over `years` (any shape), W m-2 yr kg-1."""
    t = np.asarray(years, dtype=float)[..., None]
    if gas == "CO2":
        with np.errstate(invalid="ignore"):
            left = np.where(np.isinf(CO2_YEARS), t, -CO2_YEARS * np.expm1(-t / CO2_YEARS))
        integral = (CO2_SHARE * left).sum(axis=-1)
    else:
        tau = LIFETIME.get(gas, np.nan)
        integral = (-tau * np.expm1(-t / tau))[..., 0]
    return np.asarray(forcing_per_kg(gas) * integral)


def radiative_forcing(flux: npt.ArrayLike, gas: str) -> Array:
    """Mean forcing (W m-2) in each year from that and all earlier years' fluxes.

    flux : (..., year) in Tg yr-1 of CO2-C, CH4-C or N2O-N, positive to the atmosphere, one value a year without
    gaps. Emission is spread evenly over its year. Nothing before the first year is counted, so the result is the
    forcing relative to no flux; NaN in a year makes that and all later years NaN.
    """
    f = np.asarray(flux, dtype=float)
    n = f.shape[-1]
    # the integral of AGWP over an emission year and over a forcing year: second difference of its primitive
    edges = _agwp_primitive(gas, np.arange(n + 1, dtype=float))
    first = np.diff(edges)
    response = np.diff(first, prepend=0.0)
    kg = f * 1e9 * mass_ratio("N" if gas == "N2O" else "C", gas)
    out = np.empty_like(f)
    for year in range(n):
        out[..., year] = (kg[..., : year + 1] * response[year::-1]).sum(axis=-1)
    return out


def gwp_star(
    flux: npt.ArrayLike,
    gwp100: float = 27.0,
    *,
    interval: int = 20,
    stock_share: float = 0.25,
    scale: float = 1.13,
) -> Array:
    """CO2-warming-equivalent emissions of a CH4 series, Tg CO2-C yr-1 (Smith et al. 2021, npj Clim. Atmos. Sci. 4, 19).

    flux : (..., year) in Tg CH4-C yr-1, one value a year. E* = g GWP_H [(1 - s) H / dt (E(t) - E(t - dt)) + s E(t)]
    with H = 100, dt = `interval` years, s = `stock_share`, g = `scale`. The first `interval` years are NaN: their
    earlier flux is not known, and zero would be a guess.
    """
    f = np.asarray(flux, dtype=float)
    if not 1 <= interval < f.shape[-1]:
        raise ConfigError(f"interval {interval} years does not fit a series of {f.shape[-1]} years.")
    co2c = f * mass_ratio("C", "CH4") * gwp100 * mass_ratio("CO2", "C")
    out = np.full_like(f, np.nan)
    change = co2c[..., interval:] - co2c[..., :-interval]
    out[..., interval:] = scale * (
        (1 - stock_share) * 100 / interval * change + stock_share * co2c[..., interval:]
    )
    return out


def _agwp_primitive(gas: str, t: Array) -> Array:
    """Integral of `agwp` from 0 to t, W m-2 yr2 kg-1."""
    a = forcing_per_kg(gas)
    if gas == "CO2":
        shares, scales = CO2_SHARE, CO2_YEARS
    else:
        shares, scales = np.array([1.0]), np.array([LIFETIME[gas]])
    total = np.zeros_like(t)
    for share, tau in zip(shares, scales, strict=True):
        if np.isinf(tau):
            total += share * t**2 / 2
        else:
            total += share * (tau * t + tau**2 * np.expm1(-t / tau))
    return a * total
