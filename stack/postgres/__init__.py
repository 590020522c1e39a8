"""The two Postgres servers, from a wheel."""
