"""The script of another shop, as `demo` runs it; and the files that it is an example of."""

from threading import Event, Timer

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.settings import ROOT
from producers.plan import History, Live, Plan
from producers.script import ScriptedSimulator, arguments, require_own_shop

LIVE = Plan(seed=7, live=Live(orders_per_second=3.0, minutes=0.5), dirt_percent=2.0)
EXAMPLE = ROOT / "examples" / "other_shop"
DSN = "host=127.0.0.1 port=5 dbname=d user=u password=p"


def run(tmp_path, text, plan=LIVE, stopping=None):
    path = tmp_path / "simulate.py"
    path.write_text(text)
    found = []
    script = ScriptedSimulator(path=path, dsn=DSN)
    script.run(plan, stopping=stopping or Event(), on_progress=found.append)
    return found


def test_script_gets_the_plan_and_the_database_and_tells_what_it_wrote(tmp_path):
    (told,) = run(tmp_path, """
import json, os, sys
assert sys.argv[1:] == ["--seed=7", "--orders-per-second=3.0", "--minutes=0.5"], sys.argv
assert [os.environ[f"PG{name}"] for name in ("HOST", "PASSWORD")] == ["127.0.0.1", "p"]
print(json.dumps({"orders": 2, "rows": 9}))
""")  # fmt: skip
    assert (told.orders, told.asked) == (2, 3.0)
    assert told.rows_per_second > told.orders_per_second > 0
    past = Plan(seed=1, history=History(days=2.0), dirt_percent=2.0)
    assert arguments(past) == ["--seed=1", "--history=2.0"]


def test_script_that_fails_is_an_error(tmp_path):
    with pytest.raises(StopPipelineError, match=r"simulate.py ended with status 3"):
        run(tmp_path, "raise SystemExit(3)")


def test_script_ends_when_it_is_told_to(tmp_path):
    stopping = Event()
    Timer(0.3, stopping.set).start()
    assert run(tmp_path, "import time; time.sleep(600)", stopping=stopping) == []


def test_line_that_is_not_json_is_an_error_and_ends_the_script(tmp_path):
    text = "import time; print('sold two', flush=True); time.sleep(600)"
    with pytest.raises(StopPipelineError, match=r"simulate.py printed 'sold two'"):
        run(tmp_path, text)
    with pytest.raises(StopPipelineError, match="printed"):
        run(tmp_path, "print('{}')")


def test_simulator_of_our_own_shop_is_refused_where_the_shop_is_another():
    require_own_shop()
    with environment_of({"CONTRACTS_DIR": str(EXAMPLE)}):
        for line in ("simulate --minutes 1", "demo --minutes 1"):
            told = CliRunner().invoke(app, line.split())
            assert "simulator sells in our own shop only" in str(told.exception)
