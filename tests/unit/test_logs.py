"""Logs: for people in a terminal, for programs otherwise, and never a secret in them."""

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.logs import configure_logs, mask_secrets
from lakehouse.settings import LogSettings

HIDDEN = "Xk29sPq7LmR4"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logged(monkeypatch):
    """Log with settings to a terminal or a file; returns what arrives."""

    def log(write, *, stream=None, **settings):
        stream = stream or io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        configure_logs(LogSettings(**settings))
        write(structlog.get_logger())
        return stream.getvalue()

    yield log
    structlog.reset_defaults()


def test_in_a_terminal_a_log_is_readable(logged):
    text = logged(lambda log: log.info("landed", rows=7), stream=Terminal())
    assert "landed" in text
    assert "rows" in text
    assert not text.lstrip().startswith("{")


def test_elsewhere_each_event_is_a_line_of_json(logged):
    text = logged(lambda log: [log.info("landed", rows=7), log.warning("paused")])
    first, second = map(json.loads, text.splitlines())
    assert first | {"timestamp": ""} == {
        "event": "landed", "rows": 7, "level": "info", "timestamp": "",
    }  # fmt: skip
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "warning"


@pytest.mark.parametrize(
    ("form", "stream", "is_json"), [("json", Terminal, True), ("console", io.StringIO, False)]
)
def test_the_form_can_be_chosen(logged, form, stream, is_json):
    text = logged(lambda log: log.info("landed"), stream=stream(), format=form)
    assert text.startswith("{") == is_json


def test_what_is_below_the_level_is_not_logged(logged):
    text = logged(lambda log: [log.info("quiet"), log.error("loud")], level="error")
    assert "quiet" not in text
    assert "loud" in text


def test_logs_leave_standard_output_to_reports(logged, capsys):
    logged(lambda log: log.info("landed"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "told",
    [
        {"password": HIDDEN},
        {"OLTP_PASSWORD": HIDDEN},
        {"minio_secret_key": HIDDEN},
        {"options": {"AWS_SECRET_ACCESS_KEY": HIDDEN, "AWS_ACCESS_KEY_ID": HIDDEN}},
        {"all": [{"token": HIDDEN}]},
        {"dsn": f"host=127.0.0.1 user=admin password={HIDDEN} connect_timeout=10"},
        {"quoted": f"host=127.0.0.1 password='{HIDDEN}' user=admin"},
        {"url": f"postgresql://admin:{HIDDEN}@127.0.0.1:5432/shop"},
        {"settings": f"{{'password': '{HIDDEN}'}}"},
        {"error": RuntimeError(f"refused: password={HIDDEN}")},
    ],
    ids=lambda told: "-".join(told),
)
def test_a_password_is_masked_wherever_it_is_recognised(logged, told, form):
    text = logged(lambda log: log.error("refused", **told), format=form)
    assert HIDDEN not in text
    assert "***" in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_password_in_a_traceback_is_masked(logged, form):
    def fail(log):
        try:
            int(f"password={HIDDEN}")
        except ValueError:
            log.exception("away")

    text = logged(fail, format=form)
    assert "ValueError" in text
    assert HIDDEN not in text


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9000/bronze",
        "see http://localhost:8083, then mail ann@example.com",
        'password authentication failed for user "admin"',
        "orders[0]: bronze needs offset 5",
    ],
)
def test_what_is_no_secret_is_told_as_it_is(text):
    assert mask_secrets(None, "info", {"error": text}) == {"error": text}


@given(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=8))
def test_any_generated_password_is_masked_in_a_dsn(password):
    masked = mask_secrets(None, "info", {"dsn": f"user=ann password={password} port=5"})
    assert masked == {"dsn": "user=ann password=*** port=5"}
