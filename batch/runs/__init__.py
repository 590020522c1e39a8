"""Run records: what was done to the layers, by whom, with which code, in table `etl.runs`.

Grain: one row per run of a command or of a DAG, including failed and interrupted ones.
"""

from batch.runs.listing import forget, forget_old, latest, numbered
from batch.runs.model import Kind, Outcome, RunRow
from batch.runs.record import Run, recorded
from batch.runs.steps import StepwiseRun, recorded_step

__all__ = [
    "Kind",
    "Outcome",
    "Run",
    "RunRow",
    "StepwiseRun",
    "forget",
    "forget_old",
    "latest",
    "numbered",
    "recorded",
    "recorded_step",
]
