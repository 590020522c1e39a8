"""Options that name a layer."""

from collections.abc import Callable, Sequence

import typer
from typer.models import OptionInfo

from lakehouse.choices import meant
from lakehouse.layers import Layer

_FORMER = {"mart": Layer.WAREHOUSE}
"""Names from before 0.2 that are still accepted."""


def one_of(layers: Sequence[Layer]) -> Callable[[str], Layer]:
    """Return a parser of the names of these layers."""

    def parse(text: str) -> Layer:
        name = _FORMER.get(text, text)
        if name not in layers:
            message = (
                f"{text!r} is not a layer of this command. {meant([text], layers)}"
                f"Layers: {', '.join(layers)}."
            )
            raise typer.BadParameter(message)
        return Layer(name)

    return parse


def option(*names: str, layers: Sequence[Layer], description: str) -> OptionInfo:
    """Return an option that takes the name of one of these layers."""
    text = f"{description} One of: {', '.join(layers)}."
    made: OptionInfo = typer.Option(*names, parser=one_of(layers), metavar="LAYER", help=text)
    return made
