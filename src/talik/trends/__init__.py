"""Trends of annual series and maps: slope, limits, significance, and what the significance of a whole map is worth."""
