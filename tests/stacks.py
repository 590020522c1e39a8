"""What tests know of stacks. See `stack.isolated`."""

from contextlib import AbstractContextManager

from stack import isolated
from stack.isolated import IsolatedStack, free_ports

__all__ = ["IsolatedStack", "free_ports", "new_stack"]

_JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"
"""A test's Java lives for minutes: half of its work would be to compile for the hours to come."""


def new_stack(**settings: object) -> AbstractContextManager[IsolatedStack]:
    """As in `stack.isolated`."""
    java = {"KAFKA_JAVA_OPTIONS": _JAVA_OPTIONS, "CONNECT_JAVA_OPTIONS": _JAVA_OPTIONS}
    return isolated.new_stack(**java, **settings)
