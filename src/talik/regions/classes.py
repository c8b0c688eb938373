"""What the numbers of a raster of classes mean, by its CF flags."""

from __future__ import annotations

import numpy as np
import xarray as xr

from talik.errors import InputError

MOST = 1000
"""Distinct values beyond which a variable is no raster of classes."""


def classes_of(data: xr.DataArray) -> dict[int, str]:
    """Class number to name: flag_values and flag_meanings, else the distinct whole numbers by themselves.

    Raises:
        InputError: flags that do not match, or values that are no whole numbers.
    """
    values, meanings = data.attrs.get("flag_values"), data.attrs.get("flag_meanings")
    where = f"{data.encoding.get('source') or data.attrs.get('source', '')}: {data.name}".strip(": ")
    if values is not None and meanings is not None:
        numbers, names = np.atleast_1d(values), str(meanings).split()
        if len(numbers) != len(names):
            raise InputError(
                f"{where}: {len(numbers)} flag_values but {len(names)} flag_meanings; they are separated by blanks."
            )
        return {int(v): n for v, n in zip(numbers, names, strict=True)}
    found = np.unique(np.asarray(data.values, float))
    found = found[np.isfinite(found)]
    if found.size == 0 or found.size > MOST or np.any(found != np.round(found)):
        raise InputError(
            f"{where}: expected classes as whole numbers; found {found.size} distinct values. Give a variable of "
            "classes, with flag_values and flag_meanings."
        )
    return {int(v): f"{data.name} {int(v)}" for v in found}
