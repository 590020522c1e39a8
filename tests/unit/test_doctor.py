"""The doctor looks at everything side by side, and no check holds up the report."""

import io
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import cli.doctor
from cli.doctor import show_findings
from lakehouse.errors import Problem, StopPipelineError
from stack.doctor import all_checks, examine
from stack.doctor.clock import _ahead
from stack.doctor.measurements import Measurements, _Once
from stack.doctor.model import Check
from stack.findings import Finding, Verdict, fine, wrong, wrong_as_told
from tests.verdicts import only


class Nothing:
    """Measurements of a stack of which only some services are up."""

    def __init__(self, *ready):
        self.ready = ready

    def not_ready(self, names):
        return [name for name in names if name not in self.ready]


def check(run, **more):
    return Check(area="area", title="title", run=run, **more)


def found(checks, measurements=None, limit_seconds=30):
    return examine(checks, measurements or Nothing(), limit_seconds=limit_seconds)


def test_what_checks_say_comes_in_their_order():
    first_may_end = threading.Event()

    def slow(_):
        assert first_may_end.wait(30)
        return [fine("slow")]

    def quick(_):
        first_may_end.set()
        return [wrong("a", "b"), fine("quick")]

    assert [one.words for one in found([check(slow), check(quick)])] == ["slow", "a", "quick"]


def test_check_that_hangs_is_reported_and_holds_up_nobody():
    forever = threading.Event()
    checks = [check(lambda _: [fine("quick")]), check(lambda _: forever.wait())]
    quick, hung = found(checks, limit_seconds=1)
    forever.set()
    assert quick.verdict is Verdict.FINE
    assert (hung.verdict, hung.words) == (Verdict.UNCHECKED, "no answer within 1 s")


def test_check_that_fails_is_not_checked_and_the_others_continue():
    def fail(_):
        message = "it\n  does not answer"
        raise OSError(message)

    failed, other = found([check(fail), check(lambda _: [fine("here")])])
    assert (failed.verdict, failed.words) == (Verdict.UNCHECKED, "it does not answer")
    assert other.verdict is Verdict.FINE


def test_check_without_its_service_says_which_is_not_up():
    def never(_):
        pytest.fail("looked at what is not there")

    checks = [check(never, needs=("oltp", "kafka", "minio"))]
    one = only(found(checks, Nothing("kafka")))
    assert (one.verdict, one.words) == (Verdict.UNCHECKED, "oltp and minio are not up")


def test_titles_tell_checks_apart():
    titles = [(one.area, one.title) for one in all_checks()]
    assert len(set(titles)) == len(titles) > 25


def test_problem_is_a_finding_with_what_to_do_about_it():
    told = Problem("kafka: port 9092 is in use by nc", "Stop that, or set KAFKA_PORT.")
    said = wrong("kafka: port 9092 is in use by nc", "Stop that, or set KAFKA_PORT.")
    assert wrong_as_told(told) == said
    error = StopPipelineError(told)
    assert (wrong_as_told(error.told), str(error)) == (said, told)
    assert StopPipelineError("It fails.").told == "It fails."


class Counting(Measurements):
    """Measurements that tell how often something was read."""

    reads = 0

    @_Once
    def number(self):
        self.reads += 1
        if self.config == "broken":
            message = "cannot be read"
            raise OSError(message)
        return 42


def test_what_several_checks_look_at_is_read_once():
    measurements = Counting("whole", patience_seconds=1)
    checks = [check(lambda one: [fine(str(one.number))]) for _ in range(20)]
    assert {one.words for one in found(checks, measurements)} == {"42"}
    assert measurements.reads == 1


def test_what_cannot_be_read_is_told_by_each_that_needs_it_and_tried_once():
    measurements = Counting("broken", patience_seconds=1)
    checks = [check(lambda one: [fine(str(one.number))]) for _ in range(3)]
    told = found(checks, measurements)
    assert [one.words for one in told] == ["cannot be read"] * 3
    assert {one.verdict for one in told} == {Verdict.UNCHECKED}
    assert measurements.reads == 1


@pytest.mark.parametrize("width", [80, 120])
def test_report_fits_the_terminal_and_loses_no_word(width, monkeypatch):
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    monkeypatch.setattr(cli.doctor, "console", console)
    long = "a sentence of many words that does not fit into one line of any terminal, " * 3
    findings = [
        Finding(area="kafka", title="what bronze needs", verdict=verdict, words=long + verdict,
                remedy="" if verdict == "fine" else f"./pipeline up [{verdict}]")
        for verdict in Verdict
    ]  # fmt: skip
    show_findings(findings, seconds=1.25)
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    for finding in findings:
        assert " ".join(finding.words.split()) in words
        assert finding.remedy in words
    assert words.endswith("1 fine, 1 note, 1 wrong, 1 not checked (1.2 s)")


@given(skew=st.floats(-1e5, 1e5), took=st.floats(0, 30))
def test_clock_is_off_by_no_more_than_asking_took(skew, took):
    before = datetime(2026, 11, 25, tzinfo=UTC)
    after = before + timedelta(seconds=took)
    told = before + timedelta(seconds=took / 2 + skew)
    ahead = _ahead(before, told, after)
    assert abs(ahead - skew) <= took / 2 + 1e-3
    assert ahead == 0 or (ahead > 0) == (skew > 0)
