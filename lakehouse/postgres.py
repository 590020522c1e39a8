"""How to reach the two Postgres servers, a role at a time."""

from psycopg.conninfo import make_conninfo

from lakehouse.secrets import Secrets
from lakehouse.settings import OltpSettings, WarehouseSettings


def oltp_dsn(settings: OltpSettings, secrets: Secrets, *, role: str) -> str:
    """Connection string for the shop. Roles: admin, simulator, debezium, monitor, reconcile."""
    return make_conninfo(
        host=settings.host,
        port=settings.port,
        dbname=settings.database,
        user=role,
        password=secrets[f"oltp_{role}"],
        connect_timeout=10,
        application_name=role,
    )


def warehouse_dsn(settings: WarehouseSettings, secrets: Secrets, *, role: str) -> str:
    """Connection string for the warehouse. Roles: admin, batch (writes), reader (reads marts)."""
    return make_conninfo(
        host=settings.host,
        port=settings.port,
        dbname=settings.database,
        user=role,
        password=secrets[f"warehouse_{role}"],
        connect_timeout=10,
        application_name=role,
    )
