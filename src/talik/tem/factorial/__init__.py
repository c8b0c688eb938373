"""Experiments that hold or change drivers of the process model, and share what they have in common."""
