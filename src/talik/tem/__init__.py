"""The Terrestrial Ecosystem Model: soil heat, water, carbon and nitrogen of many cells, as pure JAX functions.

Importing it switches JAX to float64 for the whole process; arrays that are made as float32 stay so.
"""

from __future__ import annotations

import jax

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
