"""The commands that README and DEPLOYMENT show: each block is run, as it stands, in its order."""

import subprocess

import pytest

from lakehouse.settings import ROOT
from tests.documents import Document
from tests.stacks import new_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
SHOWN = ("README.md", "README.fr.md", "docs/DEPLOYMENT.md")
BLOCK_SECONDS = 1_500
ENDLESS = {"./pipeline demo": "./pipeline demo --minutes 0.3"}
"""What goes on until somebody ends it, by Ctrl-C; and the same with an end."""


def runnable(name):
    path = ROOT / name
    blocks = Document(path).blocks if path.exists() else []
    return [block for block in blocks if block.language == "sh" and block.not_run is None]


def with_an_end(line):
    command, hash_sign, comment = line.partition("#")
    ended = ENDLESS.get(command.strip())
    return line if ended is None else f"{ended}  {hash_sign}{comment}"


@pytest.mark.parametrize("name", [name for name in SHOWN if (ROOT / name).exists()])
def test_every_block_that_a_document_shows_runs_as_it_stands(name):
    with new_stack(STACK_START_TIMEOUT_SECONDS=600) as stack:
        for block in runnable(name):
            script = "\n".join(map(with_an_end, block.text.splitlines()))
            done = subprocess.run(
                ["bash", "-eu", "-c", script], cwd=ROOT, env=stack.env, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=BLOCK_SECONDS, check=False,
            )  # fmt: skip
            told = f"{name}:{block.line}\n{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            assert done.returncode == 0, told


def test_there_is_something_to_run():
    assert runnable("README.md")
