"""Replays of any offsets into any layer: resumable, with table diffs before and after."""
