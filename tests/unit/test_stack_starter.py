"""Starting: each service after those it needs, ready or a plain reason why not, and told so."""

import io
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import stack.progress
import stack.starter
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.settings import StackSettings
from stack.bootstrap import Step
from stack.control import _stages
from stack.paths import Data
from stack.program import Program, Service
from stack.progress import Steps, silent
from stack.starter import CancelledError, Starter
from stack.supervision import ProgramState


def state(name="RUNNING", *, pid=None, exit_status=None, problem=""):
    return ProgramState(
        state=name, pid=pid, uptime_seconds=None, exit_status=exit_status, problem=problem
    )


class FakeSupervisor:
    """Goes through scripted states, once a program is started; stays in the last."""

    def __init__(self, **scripts):
        self.scripts = scripts
        self.started = []
        self.running = set()

    def start(self, name):
        self.started.append(name)

    def state(self, name):
        if name in self.running:
            return state(pid=1)
        if name not in self.started:
            return state("STOPPED")
        script = self.scripts.get(name, [state(pid=1)])
        return script.pop(0) if len(script) > 1 else script[0]


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(stack.starter, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(stack.starter, "_RETRY_SECONDS", 0.001)


@pytest.fixture
def data(tmp_path):
    found = Data(root=tmp_path)
    found.log.mkdir()
    return found


@pytest.fixture
def starter(data):
    def make(supervisor, *, patience=30.0, progress=None):
        settings = StackSettings(start_timeout_seconds=patience)
        return Starter(supervisor, data, settings, progress or silent())

    return make


def service(name="kafka", *, needs=(), probe=lambda: True, prepare=lambda: None, final=None):
    program = Program(
        name=name, command=("/bin/true",), directory=Path("/"), final_exit_status=final
    )
    return Service(
        program=program, title="the log of changes", url="", ports=(), needs=needs,
        prepare=prepare, probe=probe,
    )  # fmt: skip


def step(do, service="kafka"):
    return Step(service=service, name="roles", do=do)


def refusal(start, *arguments):
    with pytest.raises(StopPipelineError) as error:
        start(*arguments)
    return str(error.value)


def done():
    future = Future()
    future.set_result(None)
    return future


def test_a_service_is_prepared_started_awaited_and_then_given_what_it_needs(starter):
    happened = []
    answers = iter([False, False, True])

    def probe():
        happened.append("asked")
        return next(answers)

    found = service(prepare=lambda: happened.append("prepared"), probe=probe)
    starter(FakeSupervisor()).start(found, [done()], [step(lambda: happened.append("roles"))])
    assert happened == ["prepared", "asked", "asked", "asked", "roles"]


def test_a_service_that_runs_is_neither_prepared_nor_started_again(starter):
    supervisor = FakeSupervisor()
    supervisor.running.add("kafka")
    starter(supervisor).start(service(prepare=pytest.fail), [], [])
    assert supervisor.started == []


def test_nothing_is_started_before_what_it_needs_is_ready(starter):
    supervisor = FakeSupervisor()
    failed = Future()
    failed.set_exception(StopPipelineError("oltp is down"))
    with pytest.raises(StopPipelineError, match="oltp is down"):
        starter(supervisor).start(service("connect", needs=("oltp",)), [failed], [])
    assert supervisor.started == []


def test_a_service_that_does_not_answer_in_time_is_named_with_its_log_and_what_to_try(
    starter, data
):
    data.log_of("kafka").write_text("".join(f"line {number}\n" for number in range(40)))
    slow = starter(FakeSupervisor(), patience=0.01)
    message = refusal(slow.start, service(probe=lambda: False), [], [])
    assert message.startswith("kafka (the log of changes) is not ready after 0 s; its state is RUN")
    assert "  line 39\n" in message
    assert "line 24\n" not in message
    assert "./pipeline logs kafka -n 100" in message
    assert "STACK_START_TIMEOUT_SECONDS" in message


def test_a_service_that_keeps_dying_is_given_up_long_before_the_time_is_over(starter):
    lives = [state("STARTING", pid=pid) for pid in (11, 12, 13, 14)]
    supervisor = FakeSupervisor(kafka=lives)
    message = refusal(starter(supervisor).start, service(probe=lambda: False), [], [])
    assert "kafka (the log of changes) keeps dying" in message
    assert "(empty)" in message


def test_a_service_that_supervisor_gave_up_is_told_with_supervisor_s_reason(starter):
    supervisor = FakeSupervisor(kafka=[state("FATAL", problem="can't find command '/x/java'")])
    message = refusal(starter(supervisor).start, service(), [], [])
    assert "its state is FATAL (can't find command '/x/java')" in message


def test_a_program_whose_end_was_meant_is_not_waited_for(starter):
    lives = [state("STARTING", pid=11), state("EXITED", exit_status=3)]
    supervisor = FakeSupervisor(lander=lives)
    found = service("lander", probe=lambda: False, final=3)
    assert "lander (the log of changes) has stopped" in refusal(
        starter(supervisor).start, found, [], []
    )


def test_a_program_that_ended_otherwise_is_waited_for_until_it_is_back(starter):
    lives = [state("STARTING", pid=11), state("EXITED", exit_status=1), state(pid=12)]
    answers = iter([False, True])
    found = service("lander", probe=lambda: next(answers), final=3)
    starter(FakeSupervisor(lander=lives)).start(found, [], [])


def test_a_step_that_may_succeed_later_is_done_again(starter):
    tries = []

    def do():
        tries.append(1)
        if len(tries) < 3:
            raise RetryLaterError

    starter(FakeSupervisor()).start(service(), [], [step(do)])
    assert len(tries) == 3


def test_a_step_that_never_succeeds_is_named(starter):
    def do():
        reason = "Connect answers 409."
        raise RetryLaterError(reason)

    message = refusal(starter(FakeSupervisor(), patience=0.01).start, service(), [], [step(do)])
    assert message == "kafka: roles could not be done. Connect answers 409."


def test_no_wait_is_too_long_while_something_is_being_built(data):
    answers = iter([False] * 30 + [True])
    busy = iter([True] * 29)
    slow = service(probe=lambda: next(answers))
    settings = StackSettings(start_timeout_seconds=0.01)
    supervisor = FakeSupervisor()

    def is_building():
        time.sleep(0.001)
        return next(busy, False)

    start = Starter(supervisor, data, settings, silent(), is_building=is_building)
    start.start(slow, [], [])
    with pytest.raises(StopPipelineError, match="is not ready after"):
        start.start(service("connect", probe=lambda: False), [], [])


def test_the_first_failure_ends_the_waiting_of_all_and_is_the_one_that_is_told(starter):
    supervisor = FakeSupervisor(oltp=[state("FATAL")])
    start = starter(supervisor, patience=600)
    with ThreadPoolExecutor(3) as pool:
        oltp = pool.submit(start.start, service("oltp"), [], [])
        kafka = pool.submit(start.start, service("kafka", probe=lambda: False), [], [])
        connect = pool.submit(start.start, service("connect"), [oltp, kafka], [])
        message = refusal(start.wait, {"kafka": kafka, "oltp": oltp, "connect": connect})
    assert message.startswith("oltp")
    assert "connect" not in supervisor.started


def test_what_is_installed_after_another_service_failed_is_not_started(starter):
    supervisor = FakeSupervisor(oltp=[state("FATAL")])
    start, minio_is_built = starter(supervisor, patience=600), Future()
    with ThreadPoolExecutor(2) as pool:
        minio = pool.submit(start.start, service("minio"), [minio_is_built], [])
        oltp = pool.submit(start.start, service("oltp"), [], [])
        assert refusal(start.wait, {"minio": minio, "oltp": oltp}).startswith("oltp")
        minio_is_built.set_result(None)
        with pytest.raises(CancelledError):
            minio.result()
    assert "minio" not in supervisor.started


def test_the_cause_is_told_and_not_those_who_waited_in_vain():
    cause, others = Future(), [Future() for _ in range(5)]
    cause.set_exception(StopPipelineError("the cause"))
    for other in others:
        other.set_exception(CancelledError("kafka"))
    with pytest.raises(StopPipelineError, match="the cause"):
        Starter._raise_first({cause, *others, done()})


@given(st.data())
def test_services_stop_in_stages_none_before_those_that_need_it(data):
    names = [f"s{number}" for number in range(6)]
    found = {}
    for number, name in enumerate(names):
        needs = st.lists(st.sampled_from(names[:number]), unique=True) if number else st.just([])
        found[name] = service(name, needs=tuple(data.draw(needs)))
    stages = _stages(found)
    stage_of = {name: number for number, stage in enumerate(stages) for name in stage}
    assert sorted(stage_of) == names
    assert all(stage_of[need] > stage_of[s.name] for s in found.values() for need in s.needs)


def told(happens, *, terminal=False):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=40, highlight=False)
    with Steps(console) as steps:
        happens(steps)
    return output.getvalue()


def test_without_a_terminal_progress_is_plain_lines(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stack.progress.time, "monotonic", lambda: now[0])

    def happens(steps):
        steps.begin("kafka", "the log of changes")
        now[0] += 2.5
        steps.advance("kafka", "formatting", done=1, of=2)
        steps.finish("kafka", "ready")

    assert told(happens) == "kafka: the log of changes\nkafka: ready (2.5 s)\n"


def test_a_long_step_gives_a_sign_of_life_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stack.progress.time, "monotonic", lambda: now[0])

    def happens(steps):
        steps.begin("MinIO")
        for second in range(60):
            now[0] = second
            steps.advance("MinIO", f"{second} packages compiled")

    assert told(happens).splitlines() == [
        "MinIO: begins",
        "MinIO: 15 packages compiled",
        "MinIO: 30 packages compiled",
        "MinIO: 45 packages compiled",
    ]


def test_what_looks_like_markup_is_told_as_it_is_and_long_lines_are_not_broken():
    text = "[bold]/a/path/that/is/longer/than/the/console/is/wide/and/goes/on[/bold] :smile:"
    assert told(lambda steps: steps.note(text)) == f"{text}\n"


def test_in_a_terminal_progress_is_a_live_display():
    def happens(steps):
        steps.begin("kafka", "the log of changes")
        steps.advance("kafka", "3/92 files", done=3, of=92)
        steps.finish("kafka", "ready")

    text = told(happens, terminal=True)
    assert "kafka" in text
    assert "ready" in text
    assert "\x1b[" in text


def test_any_thread_may_report():
    def happens(steps):
        def one(number):
            steps.begin(f"step {number}")
            steps.finish(f"step {number}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(50)))

    lines = told(happens).splitlines()
    assert len(lines) == 100
    assert len([line for line in lines if "done" in line]) == 50
