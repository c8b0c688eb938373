"""Budget posts: quantities with limits, what contains what, how they are added, and how limits combine."""

from talik.posts.combine import COMBINATIONS, Correlation, Limits
from talik.posts.evaluate import Evaluation, evaluate
from talik.posts.post import APPROACHES, GASES, PROCESSES, Post, PostKey
from talik.posts.recipe import Accept, Recipe, Term

__all__ = [
    "APPROACHES",
    "COMBINATIONS",
    "GASES",
    "PROCESSES",
    "Accept",
    "Correlation",
    "Evaluation",
    "Limits",
    "Post",
    "PostKey",
    "Recipe",
    "Term",
    "evaluate",
]
