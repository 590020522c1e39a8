"""Health of Airflow's components, as reported by the api-server."""

import http.client
import json

from lakehouse.settings import AirflowSettings


def health(settings: AirflowSettings) -> dict[str, str]:
    """Return `healthy` or `unhealthy` by component: scheduler, dag_processor, metadatabase.

    Empty without an answer. A killed component counts as healthy until its last heartbeat is half a
    minute old.
    """
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=5)
    try:
        connection.request("GET", "/api/v2/monitor/health")
        parts = json.loads(connection.getresponse().read())
        return {name: str(part["status"]) for name, part in parts.items()}
    except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError, TypeError):
        return {}
    finally:
        connection.close()
