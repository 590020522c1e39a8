"""What all servers of a stack are made from."""

from dataclasses import dataclass

from lakehouse.secrets import Secrets
from lakehouse.settings import settings_in_environment
from stack.paths import Cache, Data, StackConfig
from stack.service_user import ServiceUser


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Settings, passwords, the user that servers run as, and where their files are."""

    config: StackConfig
    secrets: Secrets
    user: ServiceUser

    @property
    def cache(self) -> Cache:
        """Return the paths of installed servers."""
        return Cache(root=self.config.stack.cache_dir)

    @property
    def data(self) -> Data:
        """Return the paths of the stack's data."""
        return Data(root=self.config.stack.data_dir)

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment of a program of the project: settings and paths of the stack."""
        stack = self.config.stack
        return {
            **settings_in_environment(),
            "STACK_DATA_DIR": str(stack.data_dir),
            "STACK_CACHE_DIR": str(stack.cache_dir),
            "STACK_SECRETS_FILE": str(stack.secrets_path),
        }
