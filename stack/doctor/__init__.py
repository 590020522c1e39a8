"""Looks at everything, and says for each: fine, or what is wrong and what to type.

Nothing here changes anything. What a rule is, the part that keeps it says; a check only reads and
compares. Each check is a function over what was read, so that it can be tried without a service.
"""

from stack.doctor.checks import all_checks
from stack.doctor.examine import examine
from stack.doctor.measurements import Measurements
from stack.doctor.model import Finding, Verdict

__all__ = ["Finding", "Measurements", "Verdict", "all_checks", "examine"]
