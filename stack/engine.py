"""What runs the services: supervisor here, or Docker Compose (STACK_ENGINE)."""

from stack.compose import ComposeStack
from stack.control import Stack
from stack.paths import StackConfig

AnyStack = Stack | ComposeStack


def stack_of_settings(config: StackConfig | None = None) -> AnyStack:
    """The stack that commands are about, or the one with this configuration."""
    config = config or StackConfig()
    return ComposeStack(config) if config.stack.engine == "compose" else Stack(config)
