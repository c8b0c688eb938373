"""The budget: published components and recipe, warming potential, reconciliation, audit.

>>> from talik.budget import compute
>>> budget = compute("reccap2")
>>> post = budget.evaluation.posts["bottom_up.natural", "CO2"]
>>> f"{post.mean:.0f} ({post.low:.0f}, {post.high:.0f}) {post.unit}"
'-29 (-708, 455) Tg CO2-C yr-1'
"""

from talik.budget.audit import Audit, Claim
from talik.budget.compute import Budget, compute
from talik.budget.findings import Finding
from talik.budget.gwp import Metric
from talik.budget.reconcile import Comparison
from talik.budget.settings import BudgetSettings

__all__ = ["Audit", "Budget", "BudgetSettings", "Claim", "Comparison", "Finding", "Metric", "compute"]
