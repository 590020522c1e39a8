"""What tests know of stacks. See `devtools.test_stack`."""

from contextlib import AbstractContextManager

from devtools import test_stack
from devtools.test_stack import TestStack, free_ports

__all__ = ["TestStack", "free_ports", "new_stack"]

_SPARING = {
    # A test's Java lives for minutes: much of its work would be to compile for the hours to come.
    "KAFKA_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
    "CONNECT_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
    # Nobody looks at a test's charts; asking a hundred times a second costs as much as capturing.
    "CONNECT_POLL_INTERVAL_MS": 100,
}


def new_stack(**settings: object) -> AbstractContextManager[TestStack]:
    """As in `devtools.test_stack`, on fewer of the machine's cores."""
    return test_stack.new_stack(**{**_SPARING, **settings})
