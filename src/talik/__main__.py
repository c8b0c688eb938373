"""`python -m talik` is `talik`."""

from talik.cli import app

app()
