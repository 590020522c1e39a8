"""Installation of Debian packages for tests and benchmarks."""

import shutil
import subprocess

from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.settings import is_root

_APT = ("apt-get", "-qq", "-o", "Acquire::Retries=5")
_LAST_LINES = 5


def can_install() -> bool:
    """Return whether packages can be installed: Debian, as root."""
    return is_root() and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages with apt-get, which retries after network errors.

    Raises:
        StopPipelineError: apt-get failed; the message has its last lines.
    """
    environment = process_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    told: list[str] = []
    # update succeeds even if an index cannot be fetched; its output explains a failed install.
    for command in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
        result = subprocess.run(
            (*_APT, *command),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        told += result.stdout.splitlines()
        if result.returncode != 0:
            message = (
                f"apt-get could not install {' '.join(packages)}: "
                f"{'; '.join(line.strip() for line in told[-_LAST_LINES:])}. Is the network "
                f"there? Then run the same command again, or: apt-get install {' '.join(packages)}"
            )
            raise StopPipelineError(message)
