"""A range of bronze taken through silver, gold and the star again; it proves what that changed."""

from batch.replay.chosen import ChosenRange, choose
from batch.replay.layers import Replay, request_name

__all__ = ["ChosenRange", "Replay", "choose", "request_name"]
