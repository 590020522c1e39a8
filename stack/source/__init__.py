"""A database that was not made for this: what it lacks for capture; preparation and removal."""
