"""Soil heat: an implicit enthalpy column of moss, organic and mineral layers under snow."""
