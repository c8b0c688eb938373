"""Calibration of the process model on towers, with the uncertainty of its parameters."""
