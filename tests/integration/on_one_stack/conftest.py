"""One stack for all tests of this folder. It ends with the last of them (hence the package)."""

import pytest

from tests.integration.on_one_stack.reconciled_shop import Shop
from tests.stacks import tenant


@pytest.fixture(scope="package")
def stack():
    """The real services, started once, without a lander: tests run their own."""
    with tenant() as found:
        found.up("oltp", "warehouse", "kafka", "connect", "minio")
        yield found


@pytest.fixture(scope="module")
def running_shop(stack):
    """The stack with a lander, for the tests of one file."""
    shop = Shop(stack)
    shop.start_lander()
    yield shop
    shop.stop_lander()


@pytest.fixture
def shop(running_shop):
    """The same; tables that a test makes are dropped behind it."""
    yield running_shop
    running_shop.drop_tables()
