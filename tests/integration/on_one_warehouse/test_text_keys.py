"""Keys that are texts, on a real warehouse: the same layers, the same sums."""

import subprocess
import sys

import pytest

from batch.warehouse.migrate import require_same_keys
from tests.warehouse import new_database

pytestmark = pytest.mark.integration
# Contracts are read when they are imported: a process with others is one of its own.
PROGRAM = """
import sys
from lakehouse.contracts import ENTITIES, Type
from lakehouse.contracts.keys import with_key_types
ENTITIES.update(with_key_types(ENTITIES, dict.fromkeys(ENTITIES, Type.TEXT)))
from tests.text_keys import run
run(*sys.argv[1:])
print("exact")"""

WITH_TEXTS = """
import sys
from lakehouse.contracts import ENTITIES, Type
from lakehouse.contracts.keys import with_key_types
ENTITIES.update(with_key_types(ENTITIES, {"orders": Type.TEXT}))
from batch.warehouse.migrate import require_same_keys
require_same_keys(sys.argv[1])"""


def test_warehouse_of_integers_is_refused_once_keys_are_texts(warehouse):
    """Before anything is stopped for them, and with all that has to be set."""
    require_same_keys(warehouse.dsn)
    require_same_keys("host=nowhere.invalid")
    command = [sys.executable, "-c", WITH_TEXTS, warehouse.dsn]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "types of keys: order_id was an integer, and is a text now. Undo it" in done.stderr


def test_shop_with_uuids_as_keys_is_exact_in_every_layer_and_live(warehouse_server, tmp_path):
    with new_database(warehouse_server, "test_text_keys") as made:
        command = [sys.executable, "-c", PROGRAM, tmp_path, made.dsn, made.live_dsn]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "exact\n"), done.stderr
