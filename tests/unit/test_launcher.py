"""The launcher, with a Python and a uv that only pretend: quick, offline, and every call noted."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lakehouse.settings import ROOT

# `sh` finds these on the path that tests give it, and nothing else.
TOOLS = (
    "sh",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sleep",
    "touch",
    "tr",
)

# Pretends to be a Python of $VERSION, or a uv, by the name that it is called with.
PRETENDER = r"""#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
echo "${UV_HTTP_RETRIES:-none} ${PIP_RETRIES:-none}" >>"$CALLS.retries"
make() { mkdir -p "$1/bin"; cp "$0" "$1/bin/$2"; }
pause() {
  [ ! -e "$PAUSE" ] || touch "$PAUSE.reached"
  while [ -e "$PAUSE" ]; do sleep 0.01; done
}
case "${0##*/} $*" in
  python*"import sys, venv"*) SELF=$0 exec "$REAL_PYTHON" -S -c "$AS_VERSION" "$2" ;;
  python*fcntl*) exec "$REAL_PYTHON" -S "$@" ;;
  python*"-m cli"*) PYTHONPATH=$STUBS exec "$REAL_PYTHON" -S "$@" ;;
  *"-m venv "*) make "$3" python ;;
  *"-m pip install"*) [ "$NETWORK" != away ] || exit 1; make "${0%/bin/python}" uv ;;
  "uv venv "*) for last; do :; done; rm -rf "$last"; make "$last" python ;;
  "uv pip sync "*) pause; [ "$NETWORK" != away ] || exit 2; touch "$VIRTUAL_ENV/synced" ;;
  "uv pip install "*) touch "$VIRTUAL_ENV/installed" ;;
  "uv python install "*) [ "$NETWORK" != away ] || exit 1; make "$BROUGHT" python ;;
  "uv python find "*) [ -x "$BROUGHT/bin/python" ] || exit 2; echo "$BROUGHT/bin/python" ;;
  *) echo "unexpected: $0 $*" >&2; exit 99 ;;
esac
"""
AS_VERSION = """
import os, sys
sys.version_info = tuple(map(int, os.environ["VERSION"].split(".")))
sys.executable = os.environ["SELF"]
exec(sys.argv[1])
"""
COMMAND_LINE = """
import os, sys
print(os.getcwd(), *sys.argv[1:], sep="|")
sys.exit(int(os.environ.get("STATUS", 0)))
"""


def interpreters():
    """Every Python of this machine, by its version, which the launcher should take."""
    for minor in range(11, 15):
        kept = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")
        for python in filter(None, (shutil.which(f"python3.{minor}"), *sorted(kept))):
            command = [python, "-c", "import sys, venv, ensurepip; print(sys.executable)"]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                yield result.stdout.strip()
                break


@dataclass
class Machine:
    """A home, a checkout, and a path with pretenders on it."""

    root: Path
    checkout: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def launcher(self):
        return self.checkout / "pipeline"

    @property
    def pause(self):
        """While this file exists, `uv pip sync` takes its time."""
        return Path(self.env["PAUSE"])

    def program(self, name):
        file = self.root / "bin" / name
        file.write_text(PRETENDER)
        file.chmod(0o755)

    def calls(self, what=""):
        calls = Path(self.env["CALLS"])
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [line for line in lines if what in line]

    def forget_calls(self):
        Path(self.env["CALLS"]).unlink(missing_ok=True)

    def start(self, *arguments, launcher=None, cwd=None, **env):
        return subprocess.Popen(
            [str(launcher or self.launcher), *arguments],
            cwd=cwd or self.root,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def started_and_paused(self, **env):
        """A launcher in the middle of its set-up."""
        self.pause.touch()
        process = self.start("status", **env)
        reached = Path(f"{self.pause}.reached")
        while not reached.exists():
            assert process.poll() is None
            time.sleep(0.005)
        reached.unlink()
        return process

    def go_on(self):
        self.pause.unlink()

    def set_ups(self):
        return len(self.calls("uv pip sync"))


@pytest.fixture
def machine(tmp_path):
    root = tmp_path / "some where"
    for folder in ("bin", "home", "stubs/cli"):
        (root / folder).mkdir(parents=True)
    for tool in TOOLS:
        (root / "bin" / tool).symlink_to(shutil.which(tool))
    for module, text in (("__init__", ""), ("__main__", COMMAND_LINE)):
        (root / "stubs/cli" / f"{module}.py").write_text(text)
    found = Machine(root=root, checkout=checkout(root / "the shop"))
    found.env = {
        "HOME": str(root / "home"),
        "PATH": str(root / "bin"),
        "CALLS": str(root / "calls"),
        "PAUSE": str(root / "pause"),
        "STUBS": str(root / "stubs"),
        "BROUGHT": str(root / "brought"),
        "REAL_PYTHON": sys.executable,
        "AS_VERSION": AS_VERSION,
        "VERSION": "3.11.4",
        "NETWORK": "there",
    }
    found.program("python3.11")
    return found


def checkout(folder):
    (folder / "locks").mkdir(parents=True)
    shutil.copy(ROOT / "pipeline", folder)
    for file in ("pyproject.toml", "locks/project.txt", "locks/uv.txt"):
        (folder / file).write_text(f"# {file}\n")
    return folder


def test_the_first_run_makes_the_environment_and_runs_the_command(machine):
    result = machine.run("up", "oltp")
    assert result.stdout == f"{machine.root}|up|oltp\n"
    assert "preparing the Python environment" in result.stderr
    sync, install = machine.calls("uv pip ")
    assert f"--require-hashes {machine.checkout}/locks/project.txt" in sync
    assert f"--editable {machine.checkout}" in install


def test_when_nothing_has_changed_only_the_command_is_run(machine):
    machine.run()
    machine.forget_calls()
    result = machine.run("status")
    assert result.stderr == ""
    assert machine.calls() == ["python -P -m cli status"]


def test_arguments_arrive_as_they_were_given(machine):
    words = ("a b", "", "*", "$HOME", "'", '"', "-x", "--", "\\n", "é")
    assert machine.run(*words).stdout == f"{machine.root}|{'|'.join(words)}\n"


def test_the_command_s_exit_status_is_the_launcher_s(machine):
    assert machine.run(STATUS="3").returncode == 3
    assert machine.run(STATUS="7").returncode == 7


def test_the_command_takes_the_launcher_s_place_and_its_signals(machine):
    machine.run()
    (machine.root / "stubs/cli/__main__.py").write_text("import os; print(os.getpid())")
    process = machine.start()
    assert process.communicate()[0] == f"{process.pid}\n"


@pytest.mark.parametrize("file", ["locks/project.txt", "pyproject.toml"])
def test_a_changed_lock_changes_packages_in_place(machine, file):
    machine.run()
    machine.forget_calls()
    (machine.checkout / file).write_text("# another\n")
    assert machine.run("status").returncode == 0
    assert machine.set_ups() == 1
    assert not machine.calls("uv venv")
    machine.forget_calls()
    machine.run("status")
    assert machine.set_ups() == 0


def test_a_checkout_that_was_moved_gets_a_new_environment(machine):
    machine.run()
    machine.checkout = machine.checkout.rename(machine.root / "moved")
    machine.forget_calls()
    assert machine.run("status").returncode == 0
    assert machine.calls("uv venv --quiet --clear")


def test_an_environment_whose_python_has_gone_is_recreated(machine):
    machine.run()
    (machine.checkout / ".venv/bin/python").unlink()
    (machine.checkout / ".venv/bin/python").symlink_to("/nowhere/python3.11")
    machine.forget_calls()
    assert machine.run("status").stdout.endswith("|status\n")
    assert machine.calls("uv venv --quiet --clear")


def test_it_can_be_called_through_links_from_anywhere(machine):
    elsewhere = machine.root / "else where"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(machine.launcher)
    (elsewhere / "relative").symlink_to(Path("..") / "the shop" / "pipeline")
    (elsewhere / "twice").symlink_to("relative")
    (elsewhere / "folder").symlink_to(machine.checkout)
    assert machine.run(launcher=elsewhere / "relative").stdout == f"{machine.root}\n"
    for name in ("absolute", "relative", "twice", "folder/pipeline"):
        result = machine.run("up", launcher=elsewhere / name, cwd=elsewhere)
        assert result.stdout == f"{elsewhere}|up\n"
    assert machine.run("up", launcher="./twice", cwd=elsewhere).stdout == f"{elsewhere}|up\n"
    assert machine.set_ups() == 1


def test_what_lies_in_the_caller_s_directory_is_not_what_runs(machine):
    trap = machine.root / "trap"
    trap.mkdir()
    (trap / "lakehouse.py").write_text("raise SystemExit('wrong one')")
    result = machine.run("up", cwd=trap)
    assert result.stdout == f"{trap}|up\n"


@pytest.mark.parametrize("version", ["3.10.19", "3.15.0", "2.7.18", "4.0.0"])
def test_a_python_too_old_or_too_new_is_a_clear_error(machine, version):
    result = machine.run(VERSION=version)
    assert result.returncode == 3
    assert result.stderr.startswith("pipeline: needs Python 3.11 to 3.14")
    assert "PIPELINE_PYTHON" in result.stderr
    assert not (machine.checkout / ".venv").exists()


def test_no_python_at_all_is_a_clear_error(machine):
    (machine.root / "bin/python3.11").unlink()
    result = machine.run()
    assert result.returncode == 3
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("pipeline: needs Python 3.11 to 3.14")


def test_a_python_that_was_named_is_taken_or_refused_but_not_passed_over(machine):
    named = machine.root / "bin" / "python-of-mine"
    shutil.copy(machine.root / "bin/python3.11", named)
    named.write_text(PRETENDER.replace("SELF=$0", "SELF=$0 VERSION=$VERSION_OF_MINE"))
    refused = machine.run(PIPELINE_PYTHON=str(named), VERSION_OF_MINE="3.9.1")
    assert refused.returncode == 3
    assert f"PIPELINE_PYTHON is {named}" in refused.stderr
    taken = machine.run(PIPELINE_PYTHON=str(named), VERSION_OF_MINE="3.12.0")
    assert taken.returncode == 0
    assert machine.calls(f"uv venv --quiet --clear --python {named}")


@pytest.mark.parametrize("python", [*interpreters()])
def test_each_python_that_is_installed_here_is_taken(machine, python):
    machine.run()  # leaves a uv in the cache
    shutil.rmtree(machine.checkout / ".venv")
    machine.forget_calls()
    result = machine.run("up", PIPELINE_PYTHON=python)
    assert result.stdout.endswith("|up\n")
    assert machine.calls(f"uv venv --quiet --clear --python {machine.root}") == []
    assert machine.calls("uv venv --quiet --clear --python ")


def test_without_a_python_uv_brings_one(machine):
    (machine.root / "bin/python3.11").unlink()
    machine.program("uv")
    result = machine.run("up")
    assert result.stdout.endswith("|up\n")
    assert machine.calls(f"--python {machine.root}/brought/bin/python ")


def test_a_python_that_uv_cannot_bring_is_a_clear_error(machine):
    (machine.root / "bin/python3.11").unlink()
    machine.program("uv")
    result = machine.run(NETWORK="away")
    assert result.returncode == 3
    assert "Check the network" in result.stderr
    assert machine.run(NETWORK="there").returncode == 0


def test_no_network_for_uv_is_a_clear_error_and_the_next_run_continues(machine):
    result = machine.run(NETWORK="away")
    assert result.returncode == 3
    assert "could not install uv: is the network available?" in result.stderr
    kept = (machine.root / "home/.cache/shop-pipeline").iterdir()
    assert {file.suffix for file in kept} <= {".part", ".lock"}
    assert machine.run("up", NETWORK="there").stdout.endswith("|up\n")


@pytest.mark.parametrize(
    ("given", "told"),
    [({}, "5 6"), ({"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "9"}, "0 9")],
)
def test_pip_and_uv_are_told_to_try_again_as_often_as_the_caller_says_or_we_do(
    machine, given, told
):
    machine.run(**given)
    asked = Path(f"{machine.env['CALLS']}.retries").read_text().splitlines()
    assert asked[-4:] == [told] * 4
    assert not machine.calls("--retries")


def test_no_network_for_packages_is_a_clear_error_and_the_next_run_starts_over(machine):
    machine.run()
    (machine.checkout / "locks/project.txt").write_text("# another\n")
    result = machine.run(NETWORK="away")
    assert result.returncode == 3
    assert "could not install the packages: is the network available" in result.stderr
    machine.forget_calls()
    assert machine.run("up", NETWORK="there").stdout.endswith("|up\n")
    assert machine.calls("uv venv --quiet --clear")


def test_a_launcher_killed_in_its_set_up_leaves_nothing_that_is_taken_for_whole(machine):
    process = machine.started_and_paused()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    machine.go_on()
    machine.forget_calls()
    assert machine.run("up").stdout.endswith("|up\n")
    assert machine.calls("uv venv --quiet --clear")


def test_what_a_killed_launcher_had_started_is_waited_for(machine):
    killed = machine.started_and_paused()
    killed.kill()
    killed.wait()
    second = machine.start("up")
    waiting = second.stderr.readline()
    assert "another process is setting up; waiting" in waiting
    assert machine.set_ups() == 1
    machine.go_on()
    assert second.communicate(timeout=60)[0].endswith("|up\n")
    assert machine.set_ups() == 2
    killed.communicate()


def test_an_update_killed_half_way_is_not_gone_on_with(machine):
    machine.run()
    (machine.checkout / "locks/project.txt").write_text("# another\n")
    process = machine.started_and_paused()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    machine.go_on()
    machine.forget_calls()
    assert machine.run("up").stdout.endswith("|up\n")
    assert machine.calls("uv venv --quiet --clear")


def test_two_at_once_make_the_environment_once(machine):
    first = machine.started_and_paused()
    others = [machine.start("up") for _ in range(3)]
    for other in others:
        assert "waiting" in other.stderr.readline()
    machine.go_on()
    for process in (first, *others):
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert machine.set_ups() == 1


def test_two_checkouts_at_once_install_uv_once(machine):
    other = checkout(machine.root / "other")
    processes = [machine.start(), machine.start(launcher=other / "pipeline")]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(machine.calls("-m pip install")) == 1
    assert machine.set_ups() == 2


def test_the_lock_is_not_held_while_the_command_runs(machine):
    machine.run()
    (machine.root / "stubs/cli/__main__.py").write_text(
        "import sys, time; print('here', flush=True); time.sleep(60 * ('long' in sys.argv))"
    )
    (machine.checkout / "locks/project.txt").write_text("# another\n")
    long = machine.start("long")
    assert long.stdout.readline() == "here\n"
    (machine.checkout / "locks/project.txt").write_text("# yet another\n")
    assert machine.run("short").stdout == "here\n"
    long.kill()
    long.communicate()


def test_a_cache_elsewhere_is_used(machine):
    machine.run(XDG_CACHE_HOME=str(machine.root / "cache"))
    assert list((machine.root / "cache/shop-pipeline").glob("uv-*/bin/uv"))
    assert not (machine.root / "home/.cache").exists()
