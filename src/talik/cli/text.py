"""Numbers and years as text, for all commands."""

from __future__ import annotations

from talik.errors import ConfigError


def three_digits(value: float | None) -> str:
    """Three significant digits, all digits before the point; a dash for what is missing."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100.0 else f"{value:.3g}"


def years_of(option: str, text: str, example: str, *, or_one: bool = False) -> tuple[int, int]:
    """First and last year of an option FIRST-LAST; with `or_one` also of a single year.

    Raises:
        ConfigError: not that.
    """
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not first.isdigit() or not (last.isdigit() or (or_one and not dash)):
        raise ConfigError(f"{option} {text!r}: expected FIRST-LAST, such as {example}.")
    return int(first), int(last or first)
