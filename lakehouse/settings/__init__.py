"""Every setting, its environment variable and its default."""

from lakehouse.settings.base import ROOT, Settings, given
from lakehouse.settings.monitoring import AlertSettings, MonitoringSettings
from lakehouse.settings.programs import (
    BatchSettings,
    ConsolidationSettings,
    ContractSettings,
    LandingSettings,
    LiveSettings,
    LogSettings,
    ReconcileSettings,
    ShopSettings,
    SparkSettings,
    cores,
)
from lakehouse.settings.retired import require_names_of_data, retired_warnings
from lakehouse.settings.servers import (
    AirflowSettings,
    ConnectSettings,
    KafkaSettings,
    MinioSettings,
    OltpSettings,
    SslSettings,
    SupersetSettings,
    WarehouseSettings,
)
from lakehouse.settings.stack import (
    StackSettings,
    default_cache_dir,
    default_data_dir,
    default_uv,
    is_root,
    open_to_all,
    socket_path,
)
from lakehouse.variables import name_of

__all__ = [
    "ALL_SETTINGS", "ROOT", "AirflowSettings", "AlertSettings", "BatchSettings",
    "ConnectSettings",
    "ConsolidationSettings", "ContractSettings", "KafkaSettings", "LandingSettings", "LiveSettings",
    "LogSettings", "MinioSettings", "MonitoringSettings", "OltpSettings", "ReconcileSettings",
    "Settings", "ShopSettings", "SparkSettings", "SslSettings", "StackSettings", "SupersetSettings",
    "WarehouseSettings", "cores", "default_cache_dir", "default_data_dir", "default_uv", "is_root",
    "open_to_all", "require_names_of_data", "retired_warnings", "settings_in_environment",
    "socket_path",
]  # fmt: skip

ALL_SETTINGS: tuple[type[Settings], ...] = (
    StackSettings,
    OltpSettings,
    WarehouseSettings,
    KafkaSettings,
    ConnectSettings,
    MinioSettings,
    SslSettings,
    ShopSettings,
    LandingSettings,
    LiveSettings,
    ContractSettings,
    ConsolidationSettings,
    BatchSettings,
    SparkSettings,
    ReconcileSettings,
    AirflowSettings,
    AlertSettings,
    SupersetSettings,
    MonitoringSettings,
    LogSettings,
)


def settings_in_environment() -> dict[str, str]:
    """Return the settings given by the environment, as variables for a child process."""
    known = {name_of(group, name) for group in ALL_SETTINGS for name in group.model_fields}
    return {name: value for name, value in given().items() if name.upper() in known}
