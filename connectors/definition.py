"""The connector's configuration: `postgres.json` with the settings filled in.

Choices that are not obvious:

- `time.precision.mode=microseconds`: the unit does not depend on a column's declared precision.
  Timestamps with time zone are ISO text in UTC in any mode; dates are days.
- `offset.mismatch.strategy=trust_offset`: a slot that was dropped and created again has skipped
  changes. With the default, Debezium would continue from the new slot and lose them silently.
- `include.unknown.datatypes`: columns of types that Debezium does not know are included.
- `value.converter.replace.null.with.default=false`: by default, a null in a column that has a
  default is written as that.
- `table.include.list`: only names for which no two tables share a topic. The pattern must not
  contain a comma, which separates entries of the list.
- `heartbeat.interval.ms`, one second: an idle shop retains no WAL, and live charts can tell an
  idle shop from one that is not captured. It writes one row.
- CONNECT_MAX_ROW_MB sets the maximum size of a change for the producer, its buffer and each new
  topic; `connectors.topics` applies it to existing topics.
"""

import json
import string
from pathlib import Path
from types import MappingProxyType

from connectors.masks import SALT, Masks, properties
from lakehouse.kafka import CAPTURED_NAME
from lakehouse.settings import ConnectSettings, OltpSettings

_DEFINITION = Path(__file__).with_name("postgres.json")
_BUFFER_BYTES = 64 * 2**20


class _Text(string.Template):
    """Template with placeholders `@{name}`, since Connect itself uses `${provider:file:key}`."""

    delimiter = "@"


def render(
    connect: ConnectSettings,
    oltp: OltpSettings,
    secrets_file: Path,
    masks: Masks = MappingProxyType({}),
) -> dict[str, str]:
    """Return the connector's configuration, as Connect's REST interface takes it.

    Args:
        connect: names, topics, intervals.
        oltp: host and port at which Connect reaches the shop's database, and its name.
        secrets_file: properties file, on Connect's machine, that holds `debezium.password` and
            `mask.salt`; unused where Connect has a folder of secrets.
        masks: columns to mask.
    """
    values: dict[str, object] = {
        **connect.model_dump(),
        "publication_name": connect.publication_name,
        "max_row_bytes": connect.max_row_bytes,
        "topic_max_bytes": connect.topic_max_bytes,
        "buffer_bytes": max(_BUFFER_BYTES, 2 * connect.max_row_bytes),
        "database_host": oltp.host,
        "database_port": oltp.port,
        "database": oltp.database,
        "captured_name": CAPTURED_NAME,
        "password": _secret(connect, secrets_file, "oltp_debezium", "debezium.password"),
    }
    definition: dict[str, str] = json.loads(_DEFINITION.read_text())
    filled = {key: _Text(text).substitute(values) for key, text in definition.items()}
    ssl = {f"database.{name}": value for name, value in oltp.ssl_parameters.items()}
    return {**filled, **ssl, **properties(masks, _secret(connect, secrets_file, SALT, "mask.salt"))}


def _secret(connect: ConnectSettings, secrets_file: Path, role: str, key: str) -> str:
    """Return a placeholder that Connect resolves, so that the REST API never shows the secret."""
    if connect.secrets_dir is not None:
        return f"${{directory:{connect.secrets_dir}:{role}}}"
    return f"${{file:{secrets_file}:{key}}}"
