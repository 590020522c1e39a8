"""Says in plain words why a connector failed, and what to do, from Connect's trace."""


def explain(trace: str) -> str:
    return trace
