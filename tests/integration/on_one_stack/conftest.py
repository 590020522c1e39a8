"""One stack for all tests of this folder. It ends with the last of them (hence the package)."""

import pytest

from tests.stacks import new_stack


@pytest.fixture(scope="package")
def stack():
    """The real services, started once, without a lander: tests run their own."""
    with new_stack() as found:
        found.up("oltp", "warehouse", "kafka", "connect", "minio")
        yield found
