"""The workshop: project file, plan, restartable units of work, executors, manifest.

A new approach brings a `Section` (a strict model and the steps it makes); everything else stands here once.
"""

from talik.workflow.executor import Executor, choose_executor
from talik.workflow.manifest import read_manifest, verify
from talik.workflow.plan import Cost, Plan, Step, make_plan
from talik.workflow.project import Project, Section, load_project, make_project, register_section
from talik.workflow.run import RunResult, plan_project, run_plan, run_project
from talik.workflow.unit import Job, Outcome, require_complete, run_unit

__all__ = [
    "Cost",
    "Executor",
    "Job",
    "Outcome",
    "Plan",
    "Project",
    "RunResult",
    "Section",
    "Step",
    "choose_executor",
    "load_project",
    "make_plan",
    "make_project",
    "plan_project",
    "read_manifest",
    "register_section",
    "require_complete",
    "run_plan",
    "run_project",
    "run_unit",
    "verify",
]
