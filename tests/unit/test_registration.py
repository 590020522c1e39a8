"""What `connect apply` does while Connect is busy."""

from connectors import registration as under_test
from connectors.masks import masks_in
from connectors.registration import Content, apply
from connectors.rest import ConnectorState
from lakehouse.contracts import Mask
from lakehouse.errors import RetryLaterError
from lakehouse.settings import ConnectSettings, KafkaSettings, OltpSettings

MASKS = {"people": {"phone": Mask.HASH}}


class FakeConnect:
    """A worker that is busy at first for each request, and whose task runs until it is stopped."""

    def __init__(self, *_):
        self.base_url, self.name = "", ""
        self.stored, self.is_going, self.asked = None, True, set()
        self.was_going_at_change = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def config(self):
        self._be_busy("config")
        return None if self.stored is None else {"name": "shop", **self.stored}

    def put_config(self, config):
        self._be_busy("put")
        self.was_going_at_change = self.stored is not None and self.is_going
        self.stored = dict(config)

    def state(self):
        self._be_busy("state")
        word = "RUNNING" if self.is_going else "STOPPED"
        return ConnectorState(connector=word, task=word if self.is_going else None, trace=None)

    def stop(self):
        self._be_busy("stop")
        self.is_going = False

    def is_stopped(self):
        return not self.is_going

    def resume(self):
        self._be_busy("resume")
        self.is_going = True

    def _be_busy(self, request):
        if request not in self.asked:
            self.asked.add(request)
            problem = "busy"
            raise RetryLaterError(problem, "Try again.")


def test_change_is_told_and_never_made_beside_a_running_task_however_busy_connect_is(
    monkeypatch, tmp_path
):
    fake = FakeConnect()
    monkeypatch.setattr(under_test.ConnectApi, "of", lambda *_: fake)
    monkeypatch.setattr(under_test, "raise_limits", lambda *_: None)
    monkeypatch.setattr(under_test, "_POLL_SECONDS", 0)

    def applied(masks):
        fake.asked.clear()
        settings = (ConnectSettings(), OltpSettings(), KafkaSettings())
        return apply(*settings, tmp_path / "secrets", Content(masks=masks))

    first = applied({})
    assert (first.is_changed, first.masks_before) == (True, None)
    second = applied(MASKS)
    assert (second.is_changed, second.masks_before) == (True, {})
    assert fake.was_going_at_change is False
    assert fake.is_going
    assert masks_in(fake.stored) == MASKS
    third = applied(MASKS)
    assert (third.is_changed, third.masks_before) == (False, MASKS)
