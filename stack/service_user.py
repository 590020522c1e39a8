"""The service user: the calling user, or an unprivileged one if that is root."""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import StopPipelineError
from lakehouse.settings import is_root


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """User that runs the servers. `name` is None for the calling user."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Change the owner of `path` to the user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def make_private_dir(self, path: Path) -> Path:
        """Create a directory for the user only; its parents get execute permission for all."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        self.own(path)
        return path

    def write_private(self, path: Path, text: str) -> None:
        """Atomically write a file that only the user can read."""
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(
            os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        self.own(part)
        part.replace(path)

    def run(self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> None:
        """Run a program as the user and wait for it.

        Raises:
            StopPipelineError: it fails; with the last lines of its output.
        """
        groups: Sequence[int] | None = [] if self.uid is not None else None
        result = subprocess.run(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            user=self.uid,
            group=self.gid,
            extra_groups=groups,
            umask=0o077,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            lines = (result.stdout + result.stderr).strip().splitlines()[-15:]
            message = f"{Path(command[0]).name} failed ({result.returncode}):\n" + "\n".join(lines)
            raise StopPipelineError(message)


def find_service_user(name: str) -> ServiceUser:
    """Return the user for the servers.

    Raises:
        StopPipelineError: the caller is root, and there is no unprivileged user of this name.
    """
    if not is_root():
        return ServiceUser()
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        problem = f"There is no user {name!r} to run the servers as"
        action = "Set STACK_SERVICE_USER to one, or run ./pipeline as an ordinary user."
        raise StopPipelineError(problem, action) from None
    if entry.pw_uid == 0:
        problem = "Postgres refuses to run as root"
        raise StopPipelineError(problem, "Set STACK_SERVICE_USER to another user.")
    return ServiceUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
