"""How Airflow's parts say they are: the api-server answers for all of them."""

import http.client
import json

from lakehouse.settings import AirflowSettings


def health(settings: AirflowSettings) -> dict[str, str]:
    """`healthy` or `unhealthy` by part: scheduler, dag_processor, metadatabase. {} without answer.

    A part that was killed counts as healthy until its last sign of life is half a minute old.
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
