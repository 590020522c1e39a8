"""What tests know of stacks. See `stack.isolated`."""

from stack.isolated import IsolatedStack, free_ports, new_stack

__all__ = ["IsolatedStack", "free_ports", "new_stack"]
