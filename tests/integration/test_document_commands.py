"""The commands that README and DEPLOYMENT show: each block is run, as it stands, in its order."""

import subprocess

import pytest

from lakehouse.settings import ROOT
from tests.documents import Document
from tests.stacks import tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
SHOWN = ("README.md", pytest.param("docs/DEPLOYMENT.md", marks=pytest.mark.long))
BLOCK_SECONDS = 1_500
ENDLESS = {"./pipeline demo": "./pipeline demo --minutes 0.3"}
"""What continues until somebody ends it, by Ctrl-C; and the same with an end."""


def runnable(name):
    blocks = Document(ROOT / name).blocks
    return [block for block in blocks if block.language == "sh" and block.not_run is None]


def with_an_end(line):
    command, hash_sign, comment = line.partition("#")
    ended = ENDLESS.get(command.strip())
    return line if ended is None else f"{ended}  {hash_sign}{comment}"


@pytest.fixture(scope="module")
def stack():
    """For all of them, one after the other: as somebody would who reads on."""
    with tenant(STACK_START_TIMEOUT_SECONDS=600) as found:
        yield found


@pytest.mark.parametrize("name", SHOWN)
def test_every_block_that_a_document_shows_runs_as_it_stands(name, stack):
    blocks = runnable(name)
    assert blocks
    for block in blocks:
        script = "\n".join(map(with_an_end, block.text.splitlines()))
        done = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=ROOT, env=stack.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=BLOCK_SECONDS, check=False,
        )  # fmt: skip
        told = f"{name}:{block.line}\n{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, told
