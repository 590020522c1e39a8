"""How tests of the doctor's verdicts read them."""


def verdicts(said):
    return [one.verdict for one in said]


def only(said):
    assert len(said) == 1
    return said[0]
