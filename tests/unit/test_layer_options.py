"""Options that name a layer: which ones, by which names, and what is said of any other."""

import pytest
import typer

from cli.layers import one_of
from lakehouse.layers import CONSOLIDATED, LAKE, STORED, Layer


@pytest.mark.parametrize("layers", [LAKE, STORED, CONSOLIDATED, tuple(Layer)])
def test_each_layer_is_read_by_its_name_and_no_other_is(layers):
    assert [one_of(layers)(name) for name in layers] == list(layers)
    for name in set(Layer) - set(layers):
        with pytest.raises(typer.BadParameter, match="is not a layer"):
            one_of(layers)(name)


def test_a_name_that_is_mistyped_is_told_with_the_nearest():
    with pytest.raises(typer.BadParameter) as error:
        one_of(LAKE)("silvre")
    assert "silver" in error.value.message
    assert error.value.message.endswith("Layers: bronze, silver, gold.")


def test_the_warehouse_answers_to_its_former_name():
    assert one_of(CONSOLIDATED)("mart") is Layer.WAREHOUSE
