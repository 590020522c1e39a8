"""Passwords: made once, for their owner only, and never shown."""

import json
import os
import stat
import string

import pytest

from lakehouse.errors import StopPipelineError
from lakehouse.object_store import credentials
from lakehouse.secrets import ROLES, Secrets, generate, read_variables, variable_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "secrets.json"


def test_every_role_has_a_password_of_its_own(path):
    secrets = Secrets(path).complete()
    assert len({secrets[role] for role in ROLES}) == len(ROLES)


def test_passwords_are_long_and_need_no_quoting_anywhere():
    for _ in range(200):
        password = generate()
        assert len(password) == 24
        assert set(password) <= set(string.ascii_letters + string.digits)


def test_only_the_owner_can_read_the_file_whatever_the_umask(path):
    before = os.umask(0)
    try:
        Secrets(path).complete()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secrets.json"]


def test_passwords_are_generated_once(path):
    first = Secrets(path).complete()
    written = path.read_bytes()
    again = Secrets(path).complete()
    assert {role: again[role] for role in ROLES} == {role: first[role] for role in ROLES}
    assert path.read_bytes() == written


def test_a_role_that_is_new_gets_a_password_and_the_others_keep_theirs(path):
    first = Secrets(path).complete()
    kept = {role: first[role] for role in ROLES[1:]}
    path.write_text(json.dumps(kept))
    secrets = Secrets(path).complete()
    assert {role: secrets[role] for role in ROLES[1:]} == kept
    assert Secrets(path)[ROLES[0]] == secrets[ROLES[0]] != first[ROLES[0]]


def test_what_another_process_has_generated_in_the_meantime_is_taken_over(path):
    early, late = Secrets(path), Secrets(path)
    late.complete()
    early.complete()
    assert [early[role] for role in ROLES] == [late[role] for role in ROLES]


def test_a_file_cut_short_while_it_was_written_is_not_taken_for_passwords(path):
    path.parent.mkdir()
    path.with_suffix(".part").write_text('{"oltp_adm')
    secrets = Secrets(path).complete()
    assert json.loads(path.read_text()) == {role: secrets[role] for role in ROLES}


def test_neither_its_representation_nor_its_text_shows_a_password(path):
    secrets = Secrets(path).complete()
    shown = f"{secrets} {secrets!r} {[secrets]}"
    assert not [role for role in ROLES if secrets[role] in shown]
    assert "oltp_admin" in shown


def test_a_password_that_is_missing_is_named_with_the_way_to_get_it(path):
    with pytest.raises(StopPipelineError, match=r"no password for oltp_admin.*\./pipeline up"):
        Secrets(path)["oltp_admin"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "\udcff"])
def test_a_file_that_holds_no_passwords_is_named_and_not_overwritten(path, content):
    path.parent.mkdir()
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(StopPipelineError, match=r"secrets\.json cannot be read as passwords"):
        Secrets(path)
    assert path.read_bytes() == content.encode(errors="surrogateescape")


def test_a_container_s_folder_holds_a_file_for_each_role_that_it_may_be(tmp_path):
    (tmp_path / "oltp_admin").write_text("one\n")
    (tmp_path / "somebody_else").write_text("two")
    secrets = Secrets(tmp_path)
    assert secrets["oltp_admin"] == "one"
    assert repr(secrets) == "Secrets(['oltp_admin'])"
    with pytest.raises(StopPipelineError, match="Give this container the secret minio_admin"):
        secrets["minio_admin"]


def test_a_file_of_variables_is_read_as_compose_does():
    text = """
        A=1 # not part of it
        export B='two  words'
        C="3"
        D=a#b=$A
        A=last
        # E=5
        F=
    """
    read = {"A": "last", "B": "two  words", "C": "3", "D": "a#b=$A", "F": ""}
    assert read_variables(text) == read


def test_a_file_of_variables_holds_one_for_each_role(tmp_path):
    file = tmp_path / ".env"
    lines = [f"{variable_of(role)}=of {role}" for role in ROLES[1:]]
    file.write_text("\n".join(["# comment", "KAFKA_PORT=1", f"{variable_of(ROLES[0])}=", *lines]))
    secrets = Secrets(file)
    assert [secrets[role] for role in ROLES[1:]] == [f"of {role}" for role in ROLES[1:]]
    with pytest.raises(StopPipelineError, match=r"env init"):
        secrets[ROLES[0]]


def test_keys_that_a_store_has_given_are_read_and_never_generated(tmp_path):
    own = Secrets(tmp_path / "secrets.json").complete()
    assert own.given("minio_lander_access_key") is None
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("minio_lander", "minio_lander_access_key", "minio_lander_session_token"):
        (folder / name).write_text(f"{name}!\n")
    secrets = Secrets(folder)
    assert credentials(secrets, user="lander") == {
        "AWS_ACCESS_KEY_ID": "minio_lander_access_key!",
        "AWS_SECRET_ACCESS_KEY": "minio_lander!",
        "AWS_SESSION_TOKEN": "minio_lander_session_token!",
    }
    assert credentials(own, user="lander") == {
        "AWS_ACCESS_KEY_ID": "lander", "AWS_SECRET_ACCESS_KEY": own["minio_lander"],
    }  # fmt: skip
