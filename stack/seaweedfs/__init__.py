"""SeaweedFS, from its wheel: an object store that needs no build."""
