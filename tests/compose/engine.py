"""An engine to test on: the one that answers, or else a `dockerd` of our own that leaves nothing.

Ours has data, socket and everything else in a directory of its own, no listener on the network and
no bridge but those that Compose makes. What it changes in the kernel is put back at the end.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devtools import debian
from devtools.test_stack import finished
from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError

_PACKAGES = ("docker.io", "iptables", "debootstrap")
_START_SECONDS = 60
_STOP_SECONDS = 60
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine, and the `docker` that speaks to it."""

    environment: Mapping[str, str]
    is_ours: bool
    folder: Path

    def run(
        self,
        *arguments: object,
        check: bool = True,
        timeout: float = 600,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker` to its end.

        Raises:
            StopPipelineError: with `check`, it did not succeed.
        """
        return finished(
            ["docker", *arguments], f"docker {' '.join(map(str, arguments))}", check=check,
            env={**self.environment, **(env or {})}, cwd=cwd or self.folder, errors="replace",
            timeout=timeout,
        )  # fmt: skip

    def answer(self, *arguments: object) -> str:
        """What `docker` prints."""
        return self.run(*arguments).stdout.strip()

    @property
    def label(self) -> str:
        """On every image that is made here."""
        return f"shop-test={self.folder.name}"

    def build(self, context: Path, tag: str, **arguments: str) -> None:
        """Build an image, with this machine's network: package registries are reached as here."""
        given = [word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))]
        named = ("--tag", tag, "--label", self.label)
        self.run("build", "--network", "host", *named, *given, context)

    def remove_images(self) -> None:
        """Leave none of them with an engine that stays."""
        chosen = self.answer("images", "--all", "--quiet", "--filter", f"label={self.label}")
        if images := set(chosen.split()):
            self.run("image", "rm", "--force", *images, check=False)


@contextmanager
def engine(make_plugins: Callable[[], Path]) -> Iterator[Engine]:
    """An engine with Compose and BuildKit.

    Args:
        make_plugins: makes the `docker` command's plugins, for an engine of our own.

    Raises:
        StopPipelineError: there is none, and none can be started here.
    """
    # Not /tmp, which may be in memory.
    folder = Path(tempfile.mkdtemp(prefix="shop-engine-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        found = Engine(environment=process_environment(), is_ours=False, folder=folder)
        if is_usable(found):
            yield found
        else:
            with _own_engine(folder, make_plugins()) as started:
                yield started
    finally:
        _remove(folder)


def is_usable(found: Engine) -> bool:
    """Whether an engine answers, and `docker` has what Compose files need."""
    questions = (("version",), ("compose", "version"), ("buildx", "version"))
    try:
        return all(found.run(*words, check=False).returncode == 0 for words in questions)
    except FileNotFoundError:
        return False


def install_packages() -> None:
    """Have Debian's engine and debootstrap, installed if they are missing.

    Raises:
        StopPipelineError: they are missing, and cannot be installed here.
    """
    if all(_has(program) for program in ("dockerd", "docker", "iptables", "debootstrap")):
        return
    if not debian.can_install():
        message = (
            "No Docker engine with Compose and buildx answers, and one of our own needs root on "
            f"Debian. Install Docker, or as root: apt-get install {' '.join(_PACKAGES)}"
        )
        raise StopPipelineError(message)
    debian.install(*_PACKAGES)


@contextmanager
def _own_engine(folder: Path, plugins: Path) -> Iterator[Engine]:
    install_packages()
    (folder / "config").mkdir()
    (folder / "config" / "cli-plugins").symlink_to(plugins)
    environment = process_environment()
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        environment.pop(name, None)
    environment |= {
        "DOCKER_HOST": f"unix://{folder / 'docker.sock'}",
        "DOCKER_CONFIG": str(folder / "config"),
        "DOCKER_BUILDKIT": "1",
    }
    started = Engine(environment=environment, is_ours=True, folder=folder)
    with _kernel_put_back(), _daemon(folder) as process:
        _wait_for(started, process, folder / "dockerd.log")
        try:
            yield started
        finally:
            _remove_containers(started)


@contextmanager
def _daemon(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    configuration = folder / "daemon.json"
    configuration.write_text("{}")
    command = [
        "dockerd",
        *("--config-file", configuration),
        *("--host", f"unix://{folder / 'docker.sock'}"),
        *("--data-root", folder / "data"),
        *("--exec-root", folder / "exec"),
        *("--pidfile", folder / "docker.pid"),
        *("--bridge", "none"),
    ]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _kernel_put_back() -> Iterator[None]:
    """Packet filter and forwarding as they were: an engine changes both and leaves them so."""
    forwarding = _FORWARDING.read_text()
    rules = subprocess.run(["iptables-save"], capture_output=True, check=True).stdout
    try:
        yield
    finally:
        # A table that was not there yet is emptied.
        for table, chains in _CHAINS.items():
            if f"*{table}\n".encode() not in rules:
                accepting = "".join(f":{chain} ACCEPT\n" for chain in chains)
                rules += f"*{table}\n{accepting}COMMIT\n".encode()
        subprocess.run(["iptables-restore"], input=rules, check=True)
        _FORWARDING.write_text(forwarding)


_CHAINS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


def _wait_for(started: Engine, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while started.run("version", check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            message = f"dockerd does not start here:\n{log.read_text(errors='replace')[-4000:]}"
            raise StopPipelineError(message)
        time.sleep(0.2)


def _remove_containers(started: Engine) -> None:
    """Or they would outlive their engine; and with them go their mounts and networks."""
    if containers := started.answer("ps", "--all", "--quiet").split():
        started.run("rm", "--force", "--volumes", *containers, check=False)
    started.run("network", "prune", "--force", check=False)


def _remove(folder: Path) -> None:
    """Delete it, what is mounted inside it first let go of."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _has(program: str) -> bool:
    return shutil.which(program) is not None
