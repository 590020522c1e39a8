"""What all groups of settings share: their source, their error messages, and common settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from lakehouse.environment import environment
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import read_variables
from lakehouse.variables import explain, setting

ROOT = Path(__file__).resolve().parent.parent.parent
"""The root of the checkout."""
OTHER_TENANT = "When several pipelines share the server."


class Settings(BaseSettings):
    """A group of settings, read from the environment. An empty variable counts as not set."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - of each setting's type
        """Read the environment; `values` take precedence.

        Raises:
            StopPipelineError: a variable has an invalid value; lists what is allowed.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise StopPipelineError(explain(type(self), error)) from None

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _EnvironmentSource(settings_cls)


class _EnvironmentSource(EnvSettingsSource):
    """Reads `environment()`, so that tests need not change the process' own."""

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in given().items() if value}


def given() -> Mapping[str, str]:
    """Return the variables in effect; with Compose also those of `.env`, which it reads itself."""
    variables = environment()
    if variables.get("STACK_ENGINE") != "compose":
        return variables
    file = Path(variables.get("STACK_ENV_FILE") or ROOT / ".env")
    try:
        return {**read_variables(file.read_text()), **variables}
    except FileNotFoundError:
        return variables


def host_setting(server: str, *, may_be_yours: bool = False) -> Any:  # noqa: ANN401 - a setting
    """Define the address of a server; one that `up` starts, unless it is set, may be yours."""
    change = (
        "When you run it, on this machine or another: `./pipeline up` then starts none."
        if may_be_yours
        else "When it runs on another machine."
    )
    return setting("127.0.0.1", f"Address of {server}.", change=change)


def ssl_setting(server: str) -> Any:  # noqa: ANN401 - pydantic makes a setting of it
    """Define the TLS of connections to a Postgres."""
    return setting(
        "",
        f"TLS of connections to {server}: libpq's `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.",
        change="When that server asks for TLS or for a client's certificate.",
        shown="libpq's",
    )


def port_setting(default: int, of: str, *, last: int = 65535) -> Any:  # noqa: ANN401
    """Define the port of a server, up to `last`."""
    change = "When another program on this machine has the port."
    return setting(default, f"Port of {of}.", change=change, gt=0, le=last)
