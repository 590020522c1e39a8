"""Checks of the whole system; each finding is fine, or names a problem and the command to fix it.

Checks are read-only. Expected values come from the modules that enforce them; a check reads actual
values and compares. Diagnoses are pure functions of these values, so that they can be tested
without services.
"""

from stack.doctor.checks import all_checks
from stack.doctor.examine import examine
from stack.doctor.measurements import Measurements
from stack.findings import Finding, Verdict

__all__ = ["Finding", "Measurements", "Verdict", "all_checks", "examine"]
