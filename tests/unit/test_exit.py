"""A command ends with its own status, whatever its background threads are doing."""

import subprocess
import sys

import pytest

BUSY = """
import sys, threading, time
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from cli import __main__ as cli

write_deltalake(sys.argv[1], pa.table({"a": [1]}))
began = threading.Barrier(3)

def work():
    table = DeltaTable(sys.argv[1])
    began.wait()
    while True:
        table.update_incremental()

def run():
    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    began.wait()
    threading.Timer(0.1, print, ["awaited"], dict(end="")).start()
    print("told, ", end="")
    END

cli.run = run
cli.main()
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit('wrong')", 1), ("pass", 0)],
)
def test_threads_in_native_code_do_not_change_how_a_command_ends(tmp_path, end, status):
    ended = subprocess.run(
        [sys.executable, "-c", BUSY.replace("END", end), tmp_path / "table"],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == "told, awaited"
