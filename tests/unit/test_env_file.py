"""`env init`: a file for its owner alone, which has all that Compose needs and is only added to."""

import os
import stat
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import ROLES, Secrets, read_variables, variable_of
from stack.compose import make_env_file
from stack.env_file import COMPOSE_FILE, completed, entries, make
from stack.paths import StackConfig

NAMES = st.from_regex(r"[A-Z][A-Z_]{0,12}", fullmatch=True)
VALUES = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=12)
LINES = st.one_of(
    st.builds("{}={}".format, NAMES, VALUES),
    st.builds("{}={}".format, st.sampled_from([variable_of(role) for role in ROLES]), VALUES),
    st.builds("# {}={}".format, NAMES, VALUES),
    st.just(""),
)
FILES = st.lists(LINES, max_size=8).map("\n".join)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".env"


def made(path, *, passwords=None, **given_values):
    return make(path, passwords=passwords or {}, given=given_values)


@cache
def wanted():
    return entries(COMPOSE_FILE.read_text(), passwords={}, given={})


def test_only_the_owner_can_read_the_file_whatever_the_umask(path):
    before = os.umask(0)
    try:
        made(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [".env"]


def test_every_role_has_a_password_of_its_own(path):
    made(path)
    secrets = Secrets(path)
    assert len({secrets[role] for role in ROLES}) == len(ROLES)


def test_second_init_changes_nothing_and_says_so(path):
    made(path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    again = made(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert again.added == again.taken_over == ()


@given(FILES)
def test_whatever_stands_in_the_file_stays_and_what_is_missing_comes_once(text):
    after, added = completed(text, wanted())
    assert after.startswith(text)
    was, now = read_variables(text), read_variables(after)
    assert {name: now[name] for name, value in was.items() if value} == {
        name: value for name, value in was.items() if value
    }
    assert set(added) == now.keys() - {name for name, value in was.items() if value} - {
        name for name in was if name not in added
    }
    assert all(now[entry.name] for entry in wanted() if not entry.is_default)
    assert completed(after, wanted()) == (after, ())


def test_passwords_of_a_native_stack_and_values_of_the_environment_are_taken_over(tmp_path):
    env = {"STACK_DATA_DIR": str(tmp_path), "STACK_ENV_FILE": str(tmp_path / ".env")}
    native = Secrets(tmp_path / "secrets.json").complete()
    with environment_of({**env, "OLTP_PORT": "15432", "KAFKA_IMAGE": "mine/kafka:1"}):
        done = make_env_file(StackConfig())
    found = Secrets(tmp_path / ".env")
    assert {role: found[role] for role in ROLES} == {role: native[role] for role in ROLES}
    variables = read_variables((tmp_path / ".env").read_text())
    assert (variables["OLTP_PORT"], variables["KAFKA_IMAGE"]) == ("15432", "mine/kafka:1")
    others = {"OLTP_PORT", "KAFKA_IMAGE"}
    assert set(done.taken_over) == {variable_of(role) for role in ROLES} | others


def test_defaults_of_compose_are_shown_and_not_set(path):
    made(path)
    text = path.read_text()
    assert "\n# POSTGRES_IMAGE=postgres:" in text
    assert "POSTGRES_IMAGE" not in read_variables(text)


def test_a_file_that_others_could_read_is_closed_to_them(path):
    made(path)
    path.chmod(0o644)
    made(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_to_the_file_stays_a_link(path, tmp_path):
    there = tmp_path / "elsewhere.env"
    path.symlink_to(there)
    made(path)
    assert path.is_symlink()
    assert Secrets(there)["oltp_admin"]


def test_a_file_that_cannot_be_written_is_named_with_the_way_out(tmp_path):
    with pytest.raises(StopPipelineError, match=r"nowhere.*STACK_ENV_FILE"):
        made(tmp_path / "nowhere" / ".env")
