"""Calibration of the process model on observations, and what is known about its parameters afterwards."""
