"""What runs the services: supervisor here, or Docker Compose (STACK_ENGINE)."""

from lakehouse.settings import StackSettings
from stack.compose import ComposeStack
from stack.control import Stack

AnyStack = Stack | ComposeStack


def stack_of_settings() -> AnyStack:
    """The stack that commands are about."""
    return ComposeStack() if StackSettings().engine == "compose" else Stack()
