"""Choice of the engine that runs the services: supervisor or Docker Compose (STACK_ENGINE)."""

from lakehouse.errors import WrongArgumentError
from stack.compose import ComposeStack
from stack.control import Stack
from stack.paths import StackConfig

AnyStack = Stack | ComposeStack


def stack_of_settings(config: StackConfig | None = None) -> AnyStack:
    """Return the stack of the settings, or the one with this configuration.

    Raises:
        WrongArgumentError: Compose has no service for the object store that is set.
    """
    config = config or StackConfig()
    if config.stack.engine == "compose" and config.stack.store == "seaweedfs":
        problem = "docker-compose.yml runs MinIO, and STACK_STORE is seaweedfs"
        raise WrongArgumentError(problem, "Unset it, or start the stack natively.")
    return ComposeStack(config) if config.stack.engine == "compose" else Stack(config)
