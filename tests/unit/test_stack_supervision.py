"""Supervisor's configuration: what is rendered is what supervisor itself reads back."""

import pwd
import shlex
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from lakehouse.errors import StopPipelineError
from stack.paths import Data
from stack.program import Program
from stack.service_user import ServiceUser
from stack.supervision import PROGRAM_VARIABLE, NotSupervisedError, Supervisor

WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


def supervisor_in(folder, account=None):
    data = Data(root=folder)
    data.run.mkdir(parents=True, exist_ok=True)
    data.log.mkdir(exist_ok=True)
    return data, Supervisor(data, account or ServiceUser())


def read_back(data, text):
    """The configuration as supervisor understands it."""
    file = data.run / "supervisord.conf"
    file.write_text(text, encoding="utf-8")
    options = ServerOptions()
    options.realize(["-c", str(file)])
    programs = {g.name: g.process_configs[0] for g in options.process_group_configs}
    return options, programs


def program(folder, **changes):
    values = {"name": "kafka", "command": ("/bin/true",), "directory": folder} | changes
    return Program(**values)


@given(
    command=st.lists(WORDS, min_size=1, max_size=4),
    environment=st.dictionaries(st.sampled_from(["A_B", "C", "OLTP_HOST"]), WORDS),
)
@example(command=["java", "-cp", "/a b/libs/*", "100%", "%(here)x"], environment={"A_B": "5% ,x=y"})
@example(command=["it's", 'a "test"', ""], environment={"C": "'quoted'"})
@example(command=["a", "\t;no comment", "#x"], environment={"C": " leading and trailing "})
@example(command=["a", "b ;no comment", "c #"], environment={"C": "x #y"})
@example(command=["line\r\nbreak"], environment={})
def test_supervisor_reads_back_what_was_meant_or_it_is_refused(command, environment):
    assume(command[0].strip())
    with tempfile.TemporaryDirectory() as folder:
        data, supervisor = supervisor_in(Path(folder))
        meant = program(data.root, command=tuple(command), environment=environment)
        try:
            text = supervisor.render([meant])
        except StopPipelineError:
            assert is_unusual([*command, *environment.values()])
            return
        _, programs = read_back(data, text)
        read = programs["kafka"]
        assert shlex.split(read.command) == command
        assert {k: v for k, v in read.environment.items() if k in environment} == environment
        assert read.environment[PROGRAM_VARIABLE] == f"{data.root}:kafka"


def is_unusual(words):
    """Whether there is any of what no path and no name has."""
    return any(set("\"';#") & set(word) or not word.isprintable() for word in words)


@pytest.mark.parametrize("name", ["plain", "a b", "été", "o'brien", "$HOME", "&|<>()*?!~^"])
def test_a_data_directory_of_any_usable_name_is_understood(tmp_path, name):
    data, supervisor = supervisor_in(tmp_path / name)
    meant = program(data.of("kafka"), command=("java", f"-Dx={data.run}"))
    data.of("kafka").mkdir()
    options, programs = read_back(data, supervisor.render([meant]))
    assert options.logfile == str(data.log / "supervisord.log")
    assert options.pidfile == str(data.run / "supervisord.pid")
    assert programs["kafka"].directory == str(data.of("kafka"))
    assert programs["kafka"].stdout_logfile == str(data.log / "kafka.log")
    assert shlex.split(programs["kafka"].command) == ["java", f"-Dx={data.run}"]
    assert programs["kafka"].environment[PROGRAM_VARIABLE] == f"{data.root}:kafka"


def test_a_program_that_dies_comes_back_unless_its_end_was_meant(tmp_path):
    data, supervisor = supervisor_in(tmp_path)
    programs = [program(tmp_path), program(tmp_path, name="lander", final_exit_status=3)]
    _, read = read_back(data, supervisor.render(programs))
    assert read["kafka"].autorestart.__name__ == "RestartUnconditionally"
    assert read["lander"].autorestart.__name__ == "RestartWhenExitUnexpected"
    assert read["lander"].exitcodes == [3]


def test_each_program_stops_by_its_signal_and_has_a_log_that_is_rotated(tmp_path):
    data, supervisor = supervisor_in(tmp_path)
    meant = program(tmp_path, stop_signal="INT", stop_seconds=30)
    _, programs = read_back(data, supervisor.render([meant]))
    read = programs["kafka"]
    assert (read.stopsignal, read.stopwaitsecs, read.killasgroup) == (2, 30, True)
    assert (read.stdout_logfile_maxbytes, read.stdout_logfile_backups) == (20 * 2**20, 3)
    assert read.redirect_stderr
    assert not read.autostart


def test_servers_run_as_the_account_and_our_programs_as_the_caller(tmp_path):
    nobody = pwd.getpwnam("nobody")
    account = ServiceUser(name="nobody", uid=nobody.pw_uid, gid=nobody.pw_gid)
    data, supervisor = supervisor_in(tmp_path, account)
    programs = [program(tmp_path), program(tmp_path, name="lander", is_ours=True)]
    _, read = read_back(data, supervisor.render(programs))
    assert read["kafka"].uid == account.uid
    assert read["lander"].uid is None


def test_another_configuration_is_another_program(tmp_path):
    _, supervisor = supervisor_in(tmp_path)
    same, again, other = (
        supervisor.render([program(tmp_path, configuration=text)]) for text in "aab"
    )
    assert same == again != other


def test_what_a_configuration_says_is_not_in_supervisor_s_file(tmp_path):
    _, supervisor = supervisor_in(tmp_path)
    assert "hidden" not in supervisor.render([program(tmp_path, configuration="hidden")])
    assert "hidden" not in repr(program(tmp_path, configuration="hidden"))


def test_without_a_supervisor_nothing_runs_and_asking_says_what_to_do(tmp_path):
    _, supervisor = supervisor_in(tmp_path)
    assert not supervisor.is_running()
    assert supervisor.states() == {}
    assert supervisor.pid() is None
    with pytest.raises(NotSupervisedError, match=r"not running\. Run \./pipeline up first"):
        supervisor.state("kafka")


def test_a_file_for_one_user_is_closed_from_the_start_and_replaced_in_one_step(tmp_path):
    file = tmp_path / "supervisord.conf"
    ServiceUser().write_private(file, "one")
    with file.open() as old:
        ServiceUser().write_private(file, "two é")
        assert old.read() == "one"
    assert file.read_text(encoding="utf-8") == "two é"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
