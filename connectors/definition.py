"""The connector's definition: `postgres.json`, with the settings put in.

Choices that are not obvious:

- `time.precision.mode=microseconds`: the unit does not hang on a column's declared precision.
  Instants with a zone arrive as ISO text in UTC either way; dates are days.
- `offset.mismatch.strategy=trust_offset`: a slot that was dropped and made again has skipped
  changes. The default would go on from the new slot and lose them without a word.
- `include.unknown.datatypes`: a column of a type that Debezium does not know still arrives.
- `table.include.list`: names that no two tables' topics can share; the pattern has no comma, which
  would end it.
- `heartbeat.interval.ms`, one second: an idle shop holds back no WAL, and live charts can tell an
  idle shop from one that is not captured. It writes one row.
- One setting, CONNECT_MAX_ROW_MB, says how large a change may be to the producer, to its buffer,
  and to each new topic; `connectors.topics` says it to those that there are.
"""

import json
import string
from pathlib import Path

from lakehouse.kafka import CAPTURED_NAME
from lakehouse.settings import ConnectSettings, OltpSettings

_DEFINITION = Path(__file__).with_name("postgres.json")
_BUFFER_BYTES = 64 * 2**20


class _Text(string.Template):
    """Placeholders are `@{name}`: Connect itself has `${provider:file:key}`."""

    delimiter = "@"


def render(connect: ConnectSettings, oltp: OltpSettings, secrets_file: Path) -> dict[str, str]:
    """The connector's configuration.

    Args:
        connect: names, topics, intervals.
        oltp: where the shop's database is.
        secrets_file: properties file, on Connect's machine, that holds `debezium.password`; of no
            account where Connect has a folder of secrets.
    """
    values: dict[str, object] = {
        **connect.model_dump(),
        "max_row_bytes": connect.max_row_bytes,
        "topic_max_bytes": connect.topic_max_bytes,
        "buffer_bytes": max(_BUFFER_BYTES, 2 * connect.max_row_bytes),
        "database_host": connect.database_host or oltp.host,
        "database_port": connect.database_port or oltp.port,
        "database": oltp.database,
        "captured_name": CAPTURED_NAME,
        "password": _password(connect.secrets_dir, secrets_file),
    }
    definition: dict[str, str] = json.loads(_DEFINITION.read_text())
    return {key: _Text(text).substitute(values) for key, text in definition.items()}


def _password(secrets_dir: Path | None, secrets_file: Path) -> str:
    """Where Connect itself reads it: nobody who may ask for the definition learns it."""
    if secrets_dir is not None:
        return f"${{directory:{secrets_dir}:oltp_debezium}}"
    return f"${{file:{secrets_file}:debezium.password}}"
