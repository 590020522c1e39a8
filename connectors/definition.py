"""The connector's definition: `postgres.json`, with the settings put in.

Choices that are not obvious:

- `time.precision.mode=microseconds`: the unit does not hang on a column's declared precision.
  Instants with a zone arrive as ISO text in UTC either way; dates are days.
- `offset.mismatch.strategy=trust_offset`: a slot that was dropped and made again has skipped
  changes. The default would go on from the new slot and lose them without a word.
- `include.unknown.datatypes`: a column of a type that Debezium does not know still arrives.
- `max.message.bytes` is on both sides of the wire, so a row of megabytes does not stop the task.
"""

import json
import string
from pathlib import Path

from lakehouse.settings import ConnectSettings, OltpSettings

_DEFINITION = Path(__file__).with_name("postgres.json")


class _Text(string.Template):
    """Placeholders are `@{name}`: Connect itself has `${provider:file:key}`."""

    delimiter = "@"


def render(connect: ConnectSettings, oltp: OltpSettings, secrets_file: Path) -> dict[str, str]:
    """The connector's configuration.

    Args:
        connect: names, topics, intervals.
        oltp: where the shop's database is.
        secrets_file: properties file, on Connect's machine, that holds `debezium.password`.
    """
    values: dict[str, object] = {
        "oltp_host": oltp.host,
        "oltp_port": oltp.port,
        "oltp_database": oltp.database,
        "secrets_file": secrets_file,
        **connect.model_dump(),
    }
    definition: dict[str, str] = json.loads(_DEFINITION.read_text())
    return {key: _Text(text).substitute(values) for key, text in definition.items()}
