"""How numbers and names are shown: one way, everywhere."""

from __future__ import annotations

import math
import re

from talik.posts import Post

MINUS = "\N{MINUS SIGN}"

_LABELS = {
    "bottom_up": "bottom-up",
    "top_down": "top-down",
    "inventory_land": "inventory land",
    "process_land": "process-model land",
    "vegetated_land": "vegetated land",
    "natural": "natural ecosystems",
    "with_anthropogenic": "with anthropogenic",
    "stock_change": "stock change",
    "nee": "NEE",
    "nee_fire": "NEE with fire",
    "nee_layered": "NEE, layered soil carbon",
    "nee_fire_layered": "NEE with fire, layered soil carbon",
    "wetland_ch4": "wetland CH₄ models",
    "from_co2": "from CO₂",
    "from_ch4": "from CH₄",
    "from_n2o": "from N₂O",
    "process": "process models",
    "inversion": "inversions",
    "fusion": "model-data fusion",
    "inland_waters": "inland waters",
    "agriculture_waste": "agriculture and waste",
}

_PRETTY_GAS = {"CO2": "CO₂", "CH4": "CH₄", "N2O": "N₂O", "CO2e": "CO₂ eq", "C": "C", "N": "N", "": "count"}


def decimals_for(width: float) -> int:
    """Decimals that show about two digits of an interval of this width (0 decimals from a width of 20 on)."""
    if not math.isfinite(width) or width <= 0:
        return 2
    return min(12, max(0, math.ceil(1.3 - math.log10(width))))


def number(value: float, decimals: int) -> str:
    """`value` with a true minus sign and thin grouping of thousands; never '-0'."""
    text = f"{round(value, decimals) + 0.0:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return text.replace("-", MINUS)


def interval(low: float, high: float, decimals: int | None = None) -> str:
    """(low, high)."""
    d = decimals_for(high - low) if decimals is None else decimals
    return f"({number(low, d)}, {number(high, d)})"


def quantity(mean: float, low: float, high: float) -> str:
    """mean (low, high), to the digits the interval supports."""
    d = decimals_for(high - low)
    return f"{number(mean, d)} {interval(low, high, d)}"


def post_quantity(post: Post) -> str:
    """mean (low, high) of a post."""
    return quantity(post.mean, post.low, post.high)


def plain(text: str) -> str:
    """`text` with ASCII minus signs and blanks, for terminals and files."""
    return text.replace(MINUS, "-").replace("\N{NARROW NO-BREAK SPACE}", "")


def typeset(text: str) -> str:
    """A plain sentence as a page shows it: true minus signs, gases and units with their small digits."""
    return unit_name(re.sub(r"(?<![\w.)-])-(?=\d)", MINUS, text))


def gas_name(gas: str) -> str:
    """CO2 as CO₂."""
    return _PRETTY_GAS.get(gas, gas)


def unit_name(unit: str) -> str:
    """'Tg CO2-C yr-1' as 'Tg CO₂-C yr⁻¹'."""
    for ascii_text, pretty in (("CO2", "CO₂"), ("CH4", "CH₄"), ("N2O", "N₂O"), ("yr-1", "yr⁻¹")):
        unit = unit.replace(ascii_text, pretty)
    return unit


def label(post_id: str) -> str:
    """A readable name of a post id: 'bottom_up.natural' is 'Natural ecosystems, bottom-up'."""
    group, _, rest = post_id.partition(".")
    parts = [_word(p) for p in rest.split(".")] if rest else []
    if not parts:
        return sentence(_word(group))
    return sentence(f"{', '.join(parts)}, {_word(group)}")


def short_label(post_id: str) -> str:
    """The name without its group, for places where the group is shown otherwise."""
    rest = post_id.partition(".")[2]
    return sentence(", ".join(_word(p) for p in rest.split("."))) if rest else label(post_id)


def _word(part: str) -> str:
    return _LABELS.get(part, part.replace("_", " "))


def sentence(text: str) -> str:
    """`text` with a capital first letter."""
    return text[:1].upper() + text[1:]
