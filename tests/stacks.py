"""What tests know of stacks. See `stack.isolated`."""

from contextlib import AbstractContextManager

from stack import isolated
from stack.isolated import IsolatedStack, free_ports

__all__ = ["IsolatedStack", "free_ports", "new_stack"]

_SPARING = {
    # A test's Java lives for minutes: much of its work would be to compile for the hours to come.
    "KAFKA_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
    "CONNECT_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
    # Nobody looks at a test's charts; asking a hundred times a second costs as much as capturing.
    "CONNECT_POLL_INTERVAL_MS": 100,
}


def new_stack(**settings: object) -> AbstractContextManager[IsolatedStack]:
    """As in `stack.isolated`, on fewer of the machine's cores."""
    return isolated.new_stack(**{**_SPARING, **settings})
