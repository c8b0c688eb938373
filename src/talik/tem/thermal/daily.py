"""Daily air temperature between monthly means."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from talik.tem.calendar import MONTH_DAYS

Array = jax.Array

MAX_DAYS = max(MONTH_DAYS)


class Month(NamedTuple):
    """Air temperature at the start, on day 15 and at the end of a month, degC, (cell,)."""

    start: Array
    middle: Array
    end: Array


def months(tair: Array) -> Month:
    """Knots of the 12 months of a year, each (12, cell), that keep the monthly means.

    tair : (14, cell) monthly means from December of the year before to January of the year after, degC. Linear between
    the knots; months meet at the mean of their two means, and day 15 makes up for it.
    """
    days = jnp.asarray(MONTH_DAYS, tair.dtype)[:, None]
    edges = 0.5 * (tair[:-1] + tair[1:])
    middle = 2.0 * tair[1:-1] - (15.0 / days) * edges[:-1] - ((days - 15.0) / days) * edges[1:]
    return Month(edges[:-1], middle, edges[1:])


def at_noon(month: Month, day: Array, days: Array) -> Array:
    """Temperature in the middle of a day (0 is the first) of a month that has `days` days."""
    hour = day + 0.5
    before = month.start + (month.middle - month.start) * (hour / 15.0)
    after = month.middle + (month.end - month.middle) * ((hour - 15.0) / (days - 15.0))
    return jnp.where(hour < 15.0, before, after)
