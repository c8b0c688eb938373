"""Parameters of the seven plant communities of TEM, and the communities of each of its vegetation types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from talik.errors import InputError

Array = jax.Array

COMMUNITIES = (
    "alpine_tundra_polar_desert",
    "wet_tundra",
    "boreal_forest",
    "grassland",
    "temperate_conifer",
    "temperate_deciduous",
    "xeric_shrub",
)
"""Names of the communities; their order is the index that `parameters_for` takes."""

TEM_COMMUNITY = "parameter files of TEM 4.2/4.3 (k_C = 400 ppm set; McGuire et al. 1992, Zhuang et al. 2003)"
TEM_PHENOLOGY = "vegetation and leaf files of TEM 4.2/4.3 (Raich et al. 1991, McGuire et al. 1992)"
TEM_ROOTS = "rooting-depth file of TEM 4.2/4.3"


class Parameters(NamedTuple):
    """Parameters of every cell, each an array (cell,). Units, sources and values by community: `TABLE`.

    `_replace(krb=...)` changes one. The letter p is silt + clay as a fraction; `_fine` is the branch of a line in
    p that holds above the cut. A parameter that is a line in p is slope * p + offset.
    """

    cmax_slope: Array
    cmax_offset: Array
    cmax_slope_fine: Array
    cmax_offset_fine: Array
    cmax_cut: Array
    cfall: Array
    kra: Array
    krb: Array
    kda: Array
    kdb: Array
    lcclnc: Array
    propftos: Array
    nmax_slope: Array
    nmax_offset: Array
    nmax_slope_fine: Array
    nmax_offset_fine: Array
    nmax_cut: Array
    nfall: Array
    nupa: Array
    nupb: Array
    cnmin: Array
    cneven: Array
    vegc2na: Array
    vegc2nb: Array
    c2nmin: Array
    cnsoil: Array
    c_v_slope: Array
    c_v_offset: Array
    n_vs_slope: Array
    n_vs_offset: Array
    c_s_slope: Array
    c_s_offset: Array
    n_s_slope: Array
    n_s_offset: Array
    n_a_slope: Array
    n_a_offset: Array
    n_vl_slope: Array
    n_vl_offset: Array
    unleaf12: Array
    t_min: Array
    t_opt_min: Array
    t_opt_max: Array
    t_max: Array
    leaf_mass_max: Array
    foliage_m: Array
    foliage_c: Array
    sla: Array
    leaf_min: Array
    leaf_a: Array
    leaf_b: Array
    leaf_c: Array
    k_c: Array
    k_i: Array
    k_n: Array
    labncon: Array
    log_rhq10: Array
    cn_per_co2: Array
    root_a: Array
    root_b: Array
    root_c: Array
    root_min: Array


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter: its name in `Parameters`, unit, meaning, source, and its value for each of `COMMUNITIES`."""

    name: str
    unit: str
    meaning: str
    source: str
    values: tuple[float, ...]


def _row(name: str, unit: str, meaning: str, source: str, *values: float) -> Row:
    return Row(name, unit, meaning, source, values if len(values) > 1 else values * len(COMMUNITIES))


_G, _GN, _M = "g C m-2 month-1", "g N m-2 month-1", "month-1"
_C, _F, _R = TEM_COMMUNITY, TEM_PHENOLOGY, TEM_ROOTS
_FINE = "the same above the cut"

# fmt: off
TABLE: tuple[Row, ...] = (
    _row("cmax_slope", _G, "maximum carbon assimilation, slope in p", _C,
         98.882, 254.92, 222.2, 407.45, 137.14, 171.41, 526.67),
    _row("cmax_offset", _G, "maximum carbon assimilation, offset", _C,
         350.36, 586.35, 601.42, 480.76, 674.48, 1192.5, 247.67),
    _row("cmax_slope_fine", _G, _FINE, _C, 98.882, 254.92, 222.2, 407.45, 137.14, 171.41, -23.857),
    _row("cmax_offset_fine", _G, _FINE, _C, 350.36, 586.35, 601.42, 480.76, 674.48, 1192.5, 441.09),
    _row("cmax_cut", "1", "p above which the fine branch of cmax holds", _C,
         0.55, 0.55, 0.55, 0.35, 0.55, 0.55, 0.35),
    _row("cfall", _M, "share of vegetation carbon that falls as litter", _C,
         0.012037, 0.013333, 0.002037, 0.052910, 0.003590, 0.003483, 0.016975),
    _row("kra", "m2 g-1", "maintenance respiration: change of ln rate with vegetation carbon", _C,
         -0.000587, -0.000587, -0.0000806, -0.000587, -0.0000806, -0.0000806, -0.0000806),
    _row("krb", "1", "maintenance respiration: ln of the rate (month-1) at 0 degC for little vegetation", _C,
         -4.275, -3.992, -5.387, -3.901, -5.773032, -5.27675, -5.046),
    _row("kda", _M, "decomposition rate at 0 degC: part that goes with 1/p", _C,
         0.00029764, 0.00012778, 0.00030486, 0.00077728, 0.00041858, 0.00055349, 0.00100968),
    _row("kdb", _M, "decomposition rate at 0 degC: part free of texture", _C,
         0.00103287, 0.00114458, 0.00175879, 0.00219803, 0.0022836, 0.00306587, 0.0012671),
    _row("lcclnc", "g g-1", "C:N of litter at which the decomposition rate was set", _C,
         130.00, 150.00, 95.65, 57.14, 128.11, 81.25, 40.74),
    _row("propftos", "1", "share of fresh carbon that becomes soil organic matter", _C, 0.2),
    _row("nmax_slope", _GN, "maximum nitrogen uptake, slope in p", _C,
         -9.8649, 15.287, 162.45, -2.9108, -1.1563, -1.8667, -179.0),
    _row("nmax_offset", _GN, "maximum nitrogen uptake, offset", _C,
         41.084, 64.974, 252.84, 24.347, 22.002, 49.533, 129.8),
    _row("nmax_slope_fine", _GN, _FINE, _C, 11.0, 15.287, 162.45, 2.1, -1.1563, 1.8786, 51.714),
    _row("nmax_offset_fine", _GN, _FINE, _C, 30.05, 64.974, 252.84, 21.842, 22.002, 48.266, 47.314),
    _row("nmax_cut", "1", "p above which the fine branch of nmax holds", _C,
         0.55, 0.35, 0.55, 0.55, 0.55, 0.35, 0.35),
    _row("nfall", _M, "share of structural vegetation nitrogen that falls as litter", _C,
         0.006381, 0.00443, 0.007955, 0.03188, 0.01137, 0.01789, 0.01154),
    _row("nupa", "g g-1", "nitrogen immobilised per carbon respired: part that goes with 1/p", _C,
         1.8407, 1.492, 3.6764, 1.8792, 0.3699, 0.3062, 9.6714),
    _row("nupb", "g g-1", "nitrogen immobilised per carbon respired: part free of texture", _C,
         15.974, 28.435, 24.362, 13.809, 6.2219, 5.499, 11.072),
    _row("cnmin", "g g-1", "C:N of production below which nothing is taken up", _C, 0.0),
    _row("cneven", "g g-1", "C:N of production when carbon and nitrogen limit alike", _C,
         32.50, 30.00, 52.38, 54.29, 89.17, 65.00, 30.56),
    _row("vegc2na", "g g-1", "C:N of vegetation: part that goes with annual AET/PET", _C,
         0.0, 0.0, 0.0, 56.806, 0.0, 0.0, 0.0),
    _row("vegc2nb", "g g-1", "C:N of vegetation: part free of moisture", _C,
         69.23, 50.0, 375.0, 0.118, 403.57, 420.27, 27.69),
    _row("c2nmin", "g g-1", "smallest C:N of vegetation", _C, 69.23, 50.0, 375.0, 30.0, 403.57, 420.27, 27.69),
    _row("cnsoil", "g g-1", "C:N of soil organic matter", _C, 23.08, 16.36, 29.73, 11.12, 23.86, 20.63, 11.90),
    _row("c_v_slope", "g m-2", "initial vegetation carbon, slope in p", _C,
         157.50, 377.47, 5212.13, 257.15, 3534.33, 5391.0, 268.52),
    _row("c_v_offset", "g m-2", "initial vegetation carbon, offset", _C,
         391.61, 614.17, 7222.46, 224.97, 10027.21, 13633.39, 433.05),
    _row("n_vs_slope", "g m-2", "initial structural vegetation nitrogen, slope in p", _C,
         2.3081, 7.6144, 14.088, 7.515, 8.8275, 12.965, 9.7108),
    _row("n_vs_offset", "g m-2", "initial structural vegetation nitrogen, offset", _C,
         5.687, 12.359, 19.478, 6.4845, 25.056, 33.14, 15.642),
    _row("c_s_slope", "g m-2", "initial soil carbon, slope in p", _C,
         4912.49, 4328.58, 4231.12, 2739.73, 4241.68, 4678.0, 1543.13),
    _row("c_s_offset", "g m-2", "initial soil carbon, offset", _C,
         4317.67, 10571.49, 9542.85, 2527.44, 5908.1, 5796.05, 1797.36),
    _row("n_s_slope", "g m-2", "initial soil organic nitrogen, slope in p", _C,
         212.82, 264.6, 142.33, 246.38, 177.77, 226.76, 129.66),
    _row("n_s_offset", "g m-2", "initial soil organic nitrogen, offset", _C,
         187.08, 646.17, 320.98, 227.29, 247.62, 280.95, 151.04),
    _row("n_a_slope", "g m-2", "initial available nitrogen, slope in p", _C,
         -0.4246, -0.6137, -1.195, -4.1168, -3.1898, -4.5968, -3.2043),
    _row("n_a_offset", "g m-2", "initial available nitrogen, offset", _C,
         0.5674, 0.6165, 1.0575, 3.6486, 2.8999, 4.0054, 2.8094),
    _row("n_vl_slope", "g m-2", "initial labile vegetation nitrogen, slope in p", _C,
         0.3122, 0.8969, 0.3598, 0.099, 0.1342, 0.1757, 0.6874),
    _row("n_vl_offset", "g m-2", "initial labile vegetation nitrogen, offset", _C,
         0.8385, 1.7158, 0.6079, 0.1415, 0.5397, 1.3324, 0.5168),
    _row("unleaf12", "1", "initial unnormalised leaf phenology", _C, 0.0, 0.0, 0.5, 0.1, 0.5, 0.5, 0.25),
    _row("t_min", "degC", "lowest air temperature with photosynthesis", _F, -1.0, -1.0, -8.0, 0.0, -1.0, 0.0, 1.0),
    _row("t_opt_min", "degC", "lower limit of the optimum temperature", _F, 5.5, 5.5, 14.2, 13.0, 17.0, 17.0, 15.1),
    _row("t_opt_max", "degC", "upper limit of the optimum temperature", _F, 20.0, 20.0, 22.4, 32.7, 30.0, 30.9, 35.1),
    _row("t_max", "degC", "highest air temperature with photosynthesis", _F, 22.0, 22.0, 29.0, 38.0, 34.0, 34.0, 44.0),
    _row("leaf_mass_max", "g m-2", "largest leaf carbon", _F, 22.5, 126.3, 287.0, 43.1, 482.0, 222.2, 31.3),
    _row("foliage_m", "1", "foliage: 1/(1 + m exp(c C_V)), m", _F, 1.6662),
    _row("foliage_c", "m2 g-1", "foliage: 1/(1 + m exp(c C_V)), c", _F,
         -0.011346, -0.006808, -0.000567, -0.016209, -0.000452, -0.000328, -0.009455),
    _row("sla", "m2 g-1", "leaf area per leaf carbon", _F, 0.0072, 0.0072, 0.0077, 0.0072, 0.0077, 0.0077, 0.0077),
    _row("leaf_min", "1", "smallest relative leaf phenology", _F, 0.0, 0.0, 0.50, 0.10, 0.50, 0.02, 0.25),
    _row("leaf_a", "1", "leaf phenology: weight of AET", _F,
         0.79640, 0.79640, 0.42893, 0.44366, 0.41624, 0.83298, 0.46402),
    _row("leaf_b", "1", "leaf phenology: weight of the month before", _F,
         0.46635, 0.46635, 0.33295, 0.65196, 0.35159, 0.35204, 0.67084),
    _row("leaf_c", "1", "leaf phenology: offset", _F,
         -0.02873, -0.02873, 0.32228, 0.00976, 0.28739, -0.07540, -0.00677),
    _row("k_c", "ppm", "carbon dioxide in the leaf at half of the largest assimilation", _F, 400.0),
    _row("k_i", "cal cm-2 d-1", "light at half of the largest assimilation", _F, 75.0),
    _row("k_n", "g mm-1", "nitrogen in reach at half of the largest uptake, by plants and microbes", _F, 0.0042),
    _row("labncon", "1", "largest labile nitrogen per structural nitrogen", _F, 0.2),
    _row("log_rhq10", "K-1", "heterotrophic respiration: change of ln rate with temperature (Q10 = 2)", _F, 0.069),
    _row("cn_per_co2", "ppm-1", "relative change of the C:N of production with carbon dioxide", "McGuire et al. 1997",
         0.000519),
    _row("root_a", "m", "rooting depth: factor of p squared", _R, -4.7210, -4.7210, 0.0, -4.7210, 0.0, 0.0, -6.8820),
    _row("root_b", "m", "rooting depth: factor of p", _R,
         4.1060, 4.1060, -2.0875, 4.1060, -2.0875, -2.0875, 4.9540),
    _row("root_c", "m", "rooting depth: offset", _R, 0.3003, 0.3003, 2.8977, 0.3003, 2.8977, 2.8977, 0.7864),
    _row("root_min", "m", "smallest rooting depth", _R, 0.30, 0.30, 0.80, 0.30, 0.80, 0.80, 0.55),
)
# fmt: on

_TUNDRA, _WET, _BOREAL, _GRASS, _CONIFER, _DECIDUOUS, _SHRUB = COMMUNITIES

VEGETATION_TYPES: dict[int, tuple[tuple[str, float], ...]] = {
    1: (),
    2: ((_TUNDRA, 1.0),),
    3: ((_WET, 1.0),),
    4: ((_BOREAL, 1.0),),
    5: ((_BOREAL, 1.0),),
    6: ((_BOREAL, 0.5), (_WET, 0.5)),
    7: ((_WET, 1.0),),
    8: ((_CONIFER, 0.5), (_DECIDUOUS, 0.5)),
    9: ((_CONIFER, 1.0),),
    **dict.fromkeys((10, 11, 25), ((_DECIDUOUS, 1.0),)),
    **dict.fromkeys((12, 13, 22, 23, 24, 26, 28, 30, 32, 34), ((_GRASS, 1.0),)),
    **dict.fromkeys((15, 21), ((_SHRUB, 1.0),)),
    31: ((_GRASS, 0.5), (_DECIDUOUS, 0.5)),
}
"""Vegetation type of TEM (1..35) to communities and their shares of the cell (TEM 4.2/4.3, Melillo et al. 1993).

Type 1 is ice and has none. The types that are missing (14, 16-20, 27, 29, 33, 35) have no parameters here.
"""


def communities_of(vegetation: int) -> tuple[tuple[str, float], ...]:
    """Communities and their shares (sum 1) of a TEM vegetation type 1..35; () for ice.

    InputError: a type that does not exist or has no parameters here.
    """
    if vegetation not in VEGETATION_TYPES:
        raise InputError(
            f"vegetation type {vegetation}: expected one of {sorted(VEGETATION_TYPES)}, the types of TEM with "
            "parameters here. Mask the cell, or map it to one of these."
        )
    return VEGETATION_TYPES[vegetation]


def parameters_for(communities: Sequence[str] | npt.NDArray[np.integer]) -> Parameters:
    """Parameters of each cell, arrays (cell,), float64, from community names or indices into `COMMUNITIES`.

    InputError: an unknown name, or an index outside 0..6.
    """
    index = _indices(communities)
    columns = {row.name: np.asarray(row.values) for row in TABLE}
    return Parameters(*(jnp.asarray(columns[name][index]) for name in Parameters._fields))


def _indices(communities: Sequence[str] | npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    given = np.atleast_1d(np.asarray(communities))
    if given.dtype.kind in "iu":
        if given.size and (given.min() < 0 or given.max() >= len(COMMUNITIES)):
            raise InputError(
                f"community indices run {given.min()}..{given.max()}; expected 0..{len(COMMUNITIES) - 1}, the order of "
                "COMMUNITIES."
            )
        return given
    unknown = sorted({str(name) for name in given} - set(COMMUNITIES))
    if unknown:
        raise InputError(f"unknown communities {unknown}; choose from {list(COMMUNITIES)}.")
    order = {name: i for i, name in enumerate(COMMUNITIES)}
    return np.array([order[str(name)] for name in given], dtype=np.int64)
