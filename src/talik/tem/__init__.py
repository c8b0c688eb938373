"""The Terrestrial Ecosystem Model: soil heat, water, carbon and nitrogen of many cells, as pure JAX functions.

Importing it sets JAX up as `talik.jax64` says.
"""

import talik.jax64 as _jax64  # noqa: F401  (before JAX computes anything)
