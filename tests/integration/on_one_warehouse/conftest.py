"""One Postgres for all tests of this folder. It ends with the last of them (hence the package)."""

import pytest

from tests.stacks import tenant
from tests.warehouse import new_warehouse, template_warehouse


@pytest.fixture(scope="package")
def warehouse_server():
    """A warehouse's Postgres alone, in which each test has a database of its own."""
    with tenant() as found:
        found.up("warehouse")
        with template_warehouse(found):
            yield found


@pytest.fixture
def warehouse(warehouse_server):
    """An empty, migrated warehouse."""
    with new_warehouse(warehouse_server) as found:
        yield found
