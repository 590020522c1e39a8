"""Choice of the engine that runs the services: supervisor or Docker Compose (STACK_ENGINE)."""

from stack.compose import ComposeStack
from stack.control import Stack
from stack.paths import StackConfig

AnyStack = Stack | ComposeStack


def stack_of_settings(config: StackConfig | None = None) -> AnyStack:
    """Return the stack of the settings, or the one with this configuration."""
    config = config or StackConfig()
    return ComposeStack(config) if config.stack.engine == "compose" else Stack(config)
