"""Measured costs of talik; `make bench` prints them."""
