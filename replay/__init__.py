"""Replays: any offsets into any layer, resumable, with the tables compared before and after."""
