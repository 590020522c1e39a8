"""What `devtools.platforms` checks: every lock, and jars only where there are any."""

import pytest

from devtools import platforms
from devtools.platforms import FROM_SOURCE, main
from lakehouse.environment import environment_of
from lakehouse.settings import ROOT


def test_every_lock_of_the_system_is_checked_and_missing_jars_are_told(
    monkeypatch, tmp_path, capsys
):
    asked = set()

    def nothing_lacks(name, *_):
        asked.add(name)
        return FROM_SOURCE.get(name, set())

    monkeypatch.setattr(platforms, "_without_wheel", nothing_lacks)
    with environment_of({"STACK_CACHE_DIR": str(tmp_path)}), pytest.raises(SystemExit) as ended:
        main()
    assert asked == {lock.stem for lock in (ROOT / "locks").glob("*.txt")}
    assert ended.value.code
    assert capsys.readouterr().out.startswith("jars not checked: Kafka is not installed")
