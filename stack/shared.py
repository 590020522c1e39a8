"""What all servers of a stack are made from."""

from dataclasses import dataclass

from lakehouse.secrets import Secrets
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
