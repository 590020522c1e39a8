"""The set-up: only files that were locked, all parts or an error, and nothing left running."""

import hashlib
import io
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

import stack.go
import stack.install
import stack.kafka.install
from lakehouse.errors import StopPipelineError
from lakehouse.settings import ROOT
from stack.cache import ensure
from stack.go import build
from stack.install import _all_or_cancel, install
from stack.kafka.install import install_jars
from stack.kafka.java import Agent, properties_value
from stack.layout import JAR_LOCK, JMX_AGENT, Cache, Data
from stack.progress import silent
from stack.prometheus.install import PROMETHEUS
from stack.tools import Tools

# Stands for the package that downloads: takes files from `remote`, and keeps them as jgo does.
PRETENDED_JGO = """
import shutil
from pathlib import Path
from types import SimpleNamespace

REMOTE = Path({remote!r})

class MavenContext:
    def __init__(self, repo_cache):
        self.cache = Path(repo_cache)

    def project(self, group, artifact):
        def resolve(classifier, packaging):
            name = f"{{artifact}}.{{packaging}}"
            kept = self.cache / name
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                with (REMOTE / "asked").open("a") as asked:
                    asked.write(name + chr(10))
                shutil.copy(REMOTE / name, kept)
            return kept
        artifact_of = lambda c, p: SimpleNamespace(resolve=lambda: resolve(c, p))
        return SimpleNamespace(at_version=lambda _: SimpleNamespace(artifact=artifact_of))
"""


class Maven:
    """A repository of three files, and the lock that names them."""

    def __init__(self, folder):
        self.folder = folder
        self.remote = folder / "remote"
        self.packages = folder / "servers"
        self.lock = folder / "jars.lock"
        (self.packages / "jgo").mkdir(parents=True)
        self.remote.mkdir()
        (self.packages / "jgo" / "__init__.py").touch()
        module = PRETENDED_JGO.format(remote=str(self.remote))
        (self.packages / "jgo" / "maven.py").write_text(module)
        (self.remote / "one.jar").write_bytes(b"jar one")
        (self.remote / "two.jar").write_bytes(b"jar two")
        self.put_plugin("connector/debezium.jar")
        digests = {file.name: sha256(file) for file in self.remote.iterdir()}
        self.lock.write_text(
            "# names and digests\n"
            f"org.one:one:1.0 {digests['one.jar']}\n"
            f"org.two:two:2.0 {digests['two.jar']}\n"
            f"io.debezium:plugin:3.0:plugin:tar.gz {digests['plugin.tar.gz']}\n"
        )

    def put_plugin(self, name):
        with tarfile.open(self.remote / "plugin.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"jar"))

    def asked(self):
        return sorted((self.remote / "asked").read_text().split())

    def install(self, target, on_progress=lambda *_: None):
        def make(work, result):
            install_jars(Tools(), self.packages, work, result, on_progress=on_progress)

        return ensure(target, make)


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def refusal(do, *arguments):
    with pytest.raises(StopPipelineError) as error:
        do(*arguments)
    return str(error.value)


@pytest.fixture
def maven(tmp_path, monkeypatch):
    found = Maven(tmp_path)
    monkeypatch.setattr(stack.kafka.install, "JAR_LOCK", found.lock)
    return found


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "kafka-1"


def test_locked_files_are_verified_and_put_in_their_places(maven, target):
    counted = []
    maven.install(target, lambda done, of: counted.append((done, of)))
    files = {str(f.relative_to(target)) for f in target.rglob("*") if f.is_file()}
    assert files == {"libs/one.jar", "libs/two.jar", "plugins/connector/debezium.jar"}
    assert counted == [(1, 3), (2, 3), (3, 3)]


def test_the_plugin_is_unpacked_by_a_python_without_filters(maven, target, monkeypatch):
    """As Debian 12's 3.11.2 is."""
    unpack = tarfile.TarFile.extractall

    def without_filter(archive, path=".", members=None, *, numeric_owner=False):
        unpack(archive, path, members, numeric_owner=numeric_owner)

    monkeypatch.setattr(tarfile.TarFile, "extractall", without_filter)
    monkeypatch.delattr(tarfile, "data_filter")
    maven.install(target)
    assert (target / "plugins" / "connector" / "debezium.jar").read_bytes() == b"jar"


def test_the_agent_for_metrics_is_on_nobody_s_class_path(maven, target):
    agent = maven.remote / f"{JMX_AGENT}.jar"
    agent.write_bytes(b"agent")
    with maven.lock.open("a") as lock:
        lock.write(f"io.prometheus:{JMX_AGENT}:1.0 {sha256(agent)}\n")
    maven.install(target)
    assert (target / f"{JMX_AGENT}.jar").read_bytes() == b"agent"
    assert not list((target / "libs").glob(f"{JMX_AGENT}*"))


def test_a_java_program_has_an_agent_only_where_its_port_is_not_0(tmp_path):
    data = Data(root=tmp_path / "data")
    agent = Agent(program="kafka", port=0, cache=Cache(root=tmp_path), data=data)
    assert agent.arguments == ()
    (argument,) = replace(agent, port=7777).arguments
    assert argument.endswith(f"{JMX_AGENT}.jar=127.0.0.1:7777:{agent.rules_file}")


def test_a_file_that_is_not_the_one_locked_is_refused_by_name_and_nothing_is_kept(maven, target):
    locked = sha256(maven.remote / "two.jar")
    (maven.remote / "two.jar").write_bytes(b"something else")
    found = sha256(maven.remote / "two.jar")
    message = refusal(maven.install, target)
    assert f"org.two:two:2.0: SHA-256 is {found}, locked is {locked}. It was not kept." in message
    assert not target.exists()
    assert not list(target.parent.rglob("two.jar"))
    assert maven.asked().count("two.jar") == 2


def test_once_the_right_file_is_there_the_same_command_goes_on(maven, target):
    right = (maven.remote / "two.jar").read_bytes()
    (maven.remote / "two.jar").write_bytes(b"something else")
    refusal(maven.install, target)
    (maven.remote / "two.jar").write_bytes(right)
    assert maven.install(target)
    assert (target / "libs/two.jar").read_bytes() == right
    assert maven.asked().count("one.jar") == 1


def test_a_download_that_was_cut_short_is_fetched_again(maven, target):
    kept = target.parent / "kafka-1.part" / "repository"
    kept.mkdir(parents=True)
    (kept / "one.jar").write_bytes(b"jar o")
    maven.install(target)
    assert (target / "libs/one.jar").read_bytes() == b"jar one"


def test_a_file_that_cannot_be_fetched_is_an_error_that_says_what_to_look_at(maven, target):
    (maven.remote / "one.jar").unlink()
    message = refusal(maven.install, target)
    assert "one.jar" in message
    assert "is the network there?" in message
    assert not target.exists()


def test_an_archive_cannot_write_outside_its_place(maven, target):
    maven.put_plugin("../../../outside.jar")
    lock = maven.lock.read_text().splitlines()
    lock[-1] = f"{lock[-1].split()[0]} {sha256(maven.remote / 'plugin.tar.gz')}"
    maven.lock.write_text("\n".join(lock))
    with pytest.raises(tarfile.OutsideDestinationError):
        maven.install(target)
    assert not target.exists()
    assert not list(target.parent.parent.rglob("outside.jar"))


def test_every_locked_jar_has_one_digest_and_every_lock_of_wheels_has_hashes():
    lines = [line for line in JAR_LOCK.read_text().splitlines() if not line.startswith("#")]
    coordinates = [line.split()[0] for line in lines]
    assert len(coordinates) == len(set(coordinates)) > 90
    assert all(len(bytes.fromhex(line.split()[1])) == 32 for line in lines)
    for lock in (ROOT / "locks").glob("*.txt"):
        text = lock.read_text()
        assert text.count("==") <= text.count("--hash=sha256:")
        assert "://" not in text


def test_a_tool_that_fails_is_told_with_its_last_lines():
    script = "for n in range(40): print('line', n)\nraise SystemExit(7)"
    message = refusal(lambda: Tools().run([sys.executable, "-c", script], env={}))
    assert message.startswith("python")
    assert "failed (exit status 7)" in message
    assert "  line 39\n" in message
    assert "line 20\n" not in message
    assert "Run the same command again" in message


def test_each_line_of_a_tool_is_passed_on_as_it_comes():
    lines = []
    Tools().run([sys.executable, "-c", "print('a'); print('b')"], env={}, on_line=lines.append)
    assert lines == ["a", "b"]


def test_cancelling_ends_what_runs_and_lets_nothing_more_start():
    tools, runs = Tools(), Event()
    endless = "import time; print('here', flush=True); time.sleep(600)"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            tools.run, [sys.executable, "-c", endless], env={}, on_line=lambda _: runs.set()
        )
        runs.wait(30)
        tools.cancel()
        with pytest.raises(StopPipelineError):
            running.result()
    assert "was cancelled" in refusal(lambda: tools.run(["/bin/true"], env={}))


def test_one_part_that_fails_ends_the_others_and_is_the_one_that_is_told():
    tools, runs = Tools(), Event()
    endless = "import time; print('here', flush=True); time.sleep(600)"

    def fail():
        runs.wait(30)
        reason = "no network"
        raise StopPipelineError(reason)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(
            tools.run, [sys.executable, "-c", endless], env={}, on_line=lambda _: runs.set()
        )
        assert refusal(_all_or_cancel, (slow, pool.submit(fail)), tools.cancel) == "no network"


def test_an_interrupt_ends_what_runs(monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    cancelled = []
    monkeypatch.setattr(stack.install, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _all_or_cancel((), lambda: cancelled.append(1))
    assert cancelled == [1]


def test_a_warm_cache_needs_neither_network_nor_uv_nor_room(tmp_path, monkeypatch):
    monkeypatch.setattr(stack.install, "require_space", pytest.fail)
    monkeypatch.setattr(stack.install, "default_uv", lambda: None)
    cache = Cache(root=tmp_path)
    for folder in (cache.servers, cache.kafka, cache.minio):
        folder.mkdir()
    install(cache, silent())


@pytest.mark.parametrize(
    ("wish", "folder"), [("with_airflow", "airflow"), ("with_monitoring", "prometheus")]
)
def test_a_part_is_set_up_only_where_it_is_wanted(tmp_path, monkeypatch, wish, folder):
    needed = []
    monkeypatch.setattr(stack.install, "require_space", lambda _, mb, **__: needed.append(mb))
    monkeypatch.setattr(stack.install, "default_uv", lambda: None)
    cache = Cache(root=tmp_path)
    for there in (cache.servers, cache.kafka, cache.minio):
        there.mkdir()
    install(cache, silent(), **{wish: False})
    assert needed == []
    assert "No uv" in refusal(lambda: install(cache, silent(), **{wish: True}))
    getattr(cache, folder).mkdir()
    install(cache, silent(), **{wish: True})
    assert len(needed) == 1


def test_programs_in_go_are_built_from_their_locked_module_and_nothing_else(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(stack.go, "uv_install", lambda *_: None)

    class Recorded(Tools):
        def run(self, command, *, env, cwd=None, on_line=None):
            ran.append((command, env, cwd))
            on_line("go: downloading github.com/x/y v1.0.0")
            on_line("github.com/x/y/z")

    told = []
    build(PROMETHEUS, Recorded(), "uv", tmp_path, tmp_path / "result", on_progress=told.append)
    ((command, env, cwd),) = ran
    assert cwd == PROMETHEUS.folder
    assert command[-3:] == list(PROMETHEUS.packages)
    assert command[command.index("-tags") + 1] == "remove_all_sd"
    assert (env["GOFLAGS"], env["CGO_ENABLED"]) == ("-mod=readonly", "0")
    assert told == ["fetching Go", "fetching github.com/x/y", "1 packages compiled"]
    locked = (PROMETHEUS.folder / "go.mod").read_text()
    assert all(f"\t{package}\n" in locked for package in PROMETHEUS.packages)


def test_without_a_uv_the_way_to_one_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(stack.install, "default_uv", lambda: None)
    message = refusal(install, Cache(root=tmp_path), silent())
    assert "run through ./pipeline, or set STACK_UV" in message


@pytest.mark.parametrize("text", ["plain/path", "été", "\N{CAT FACE}", "back\\slash", "a b$c"])
def test_a_properties_file_says_to_java_what_was_meant(text):
    written = properties_value(text)
    assert written.isascii()
    # Java's rules for escapes in values, for these characters, are JSON's.
    assert __import__("json").loads(f'"{written}"') == text
