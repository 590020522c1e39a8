"""What a broker refuses is permanent only where it is known why, and only as long as it lasts."""

import pytest
from confluent_kafka import KafkaError, KafkaException

import lakehouse.kafka
from lakehouse.errors import AwayError, NotAllowedError
from lakehouse.kafka import _Admin, admin_client, matching_topics
from lakehouse.secrets import Secrets
from monitoring.flow import FlowSampler
from stack.paths import StackConfig
from tests.stacks import free_ports

LOGIN, TLS = KafkaError._AUTHENTICATION, KafkaError._SSL
AWAY = KafkaException(KafkaError(KafkaError._TRANSPORT, "no broker"))


@pytest.fixture
def admin(monkeypatch):
    """A client whose next request fails after the reports in `reports`."""
    servers = f"127.0.0.1:{free_ports(1)[0]}"
    found = admin_client({"bootstrap.servers": servers, "security.protocol": "SSL"})
    found.reports = []

    def list_topics(self, **_):
        self.reported += self.reports
        raise AWAY

    monkeypatch.setattr(_Admin, "list_topics", list_topics)
    return found


def distrusted(monkeypatch, why):
    monkeypatch.setattr(lakehouse.kafka, "distrust", lambda *_: why)


def test_certificate_that_is_not_trusted_is_permanent(admin, monkeypatch):
    distrusted(monkeypatch, "certificate has expired")
    admin.reports = [KafkaError(TLS, "handshake failed")]
    with pytest.raises(NotAllowedError, match="is not trusted: certificate has expired"):
        matching_topics(admin, "^x")


def test_certificate_of_ours_that_is_not_taken_is_permanent(admin, monkeypatch):
    distrusted(monkeypatch, None)
    monkeypatch.setattr(lakehouse.kafka, "refusal", lambda *_: "certificate required")
    with pytest.raises(NotAllowedError, match=r"our certificate: certificate required\. ssl\.cert"):
        matching_topics(admin, "^x")


def test_handshake_that_fails_otherwise_is_tried_again(admin, monkeypatch):
    distrusted(monkeypatch, None)
    admin.reports = [KafkaError(TLS, "handshake failed: unexpected eof")]
    with pytest.raises(AwayError, match="does not answer: handshake failed: unexpected eof"):
        matching_topics(admin, "^x")


def test_refusal_of_a_former_request_does_not_explain_an_outage(admin):
    admin.reports = [KafkaError(LOGIN, "authentication failed")]
    with pytest.raises(NotAllowedError, match="authentication failed"):
        matching_topics(admin, "^x")
    admin.reports = []
    with pytest.raises(AwayError, match="no broker"):
        matching_topics(admin, "^x")


def test_view_of_the_flow_leaves_out_a_kafka_that_refuses(admin, tmp_path):
    sampler = FlowSampler(StackConfig(), Secrets(tmp_path / "secrets.json").complete())
    admin.reports = [KafkaError(LOGIN, "authentication failed")]
    sampler._admin = admin
    assert sampler._offsets_per_second() is None
