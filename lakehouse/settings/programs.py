"""Settings of the pipeline's own programs."""

import os
from typing import Literal
from urllib.parse import urlsplit

from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import ROOT, Settings
from lakehouse.variables import AbsolutePath, Currency, TimeZone, setting

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def cores() -> int:
    """Return how many cores this process may run on; all of them, where no system call says."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class ShopSettings(Settings):
    """Business settings of the shop."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")
    time_zone: TimeZone = setting(
        "Europe/Paris",
        "Zone in which business days begin and end.",
        change="Before the first consolidation; later, rebuild all layers.",
    )
    base_currency: Currency = setting(
        "EUR",
        "Currency of all sums.",
        change="Before the first order.",
    )
    language: Literal["en", "fr"] = setting(
        "en",
        "Language of the dashboards: texts, labels of codes, formats of numbers and dates.",
        change="When readers prefer it; ./pipeline up superset applies it.",
    )


class LandingSettings(Settings):
    """The lander: Kafka to bronze."""

    model_config = SettingsConfigDict(env_prefix="LANDING_")
    flush_seconds: float = setting(
        5.0,
        "Longest time that a change waits in memory before it is written to bronze.",
        change="When bronze must be fresher; lower makes more, smaller files.",
        ge=0.25,
    )
    memory_mb: int = setting(
        128,
        "Changes held in memory, of all tables together.",
        change="When a lander falls behind at the peak, or the machine is small.",
        ge=32,
    )
    retention_hours: int = setting(
        24,
        "How long bronze keeps old log entries and files that no version needs.",
        change="When readers of bronze stay on one version for longer.",
        ge=1,
    )


class LiveSettings(Settings):
    """The live consumer: Kafka to the warehouse's live schema, ahead of the next hourly run."""

    model_config = SettingsConfigDict(env_prefix="LIVE_")
    max_rows: int = setting(
        5_000_000,
        "Most rows kept beside the warehouse; at the limit it waits for a consolidation.",
        change="When consolidations are rarer than hourly, or the warehouse's disk is small.",
        gt=0,
    )


class ContractSettings(Settings):
    """Contracts of the tables that have none of their own."""

    model_config = SettingsConfigDict(env_prefix="CONTRACTS_")
    dir: AbsolutePath = setting(
        ROOT / "contracts",
        "Folder of contract files, one per table of the shop; it need not exist.",
        change="When your contracts are in a repository of their own.",
        shown="`contracts/` in the checkout",
    )


class ConsolidationSettings(Settings):
    """Bronze to silver, gold and the warehouse."""

    model_config = SettingsConfigDict(env_prefix="CONSOLIDATION_")
    chunk_rows: int = setting(
        500_000,
        "Most changes that a consolidation or a replay holds in memory at a time; fewer if they "
        "are large.",
        change="When either runs out of memory (lower), or memory is plenty (raise).",
        gt=0,
    )
    retention_hours: int = setting(
        168,
        "How long old versions of silver and gold, and change feeds of silver, stay.",
        change="When you query older versions, or storage is short.",
        ge=1,
    )
    quarantine_max_share: float = setting(
        0.2,
        "Share of new changes in quarantine above which nothing is published.",
        change="When you have looked at the quarantine and accept it, for one run.",
        ge=0,
        le=1,
    )


class BatchSettings(Settings):
    """What computes layers from scratch."""

    model_config = SettingsConfigDict(env_prefix="BATCH_")
    engine: Literal["local", "spark"] = setting(
        "local",
        "What computes silver and gold from scratch, and compares silver to bronze: here or Spark.",
        change="When one machine is too slow to read all of bronze.",
    )
    processes: int = setting(
        min(4, cores()),
        "Processes that validate changes again when silver is rebuilt, or replayed into.",
        change="When memory is short: each process holds up to CONSOLIDATION_CHUNK_ROWS changes.",
        unit="processes",
        ge=1,
        shown="one for each core, at most 4",
    )


class SparkSettings(Settings):
    """Apache Spark. All else is its own configuration, in the folder that SPARK_CONF_DIR names."""

    model_config = SettingsConfigDict(env_prefix="SPARK_")
    master: str = setting(
        "spark://127.0.0.1:7077",
        "Master that jobs are sent to, and where `./pipeline up --spark` starts one.",
        change="When a cluster is elsewhere: `spark://…`, `k8s://…`, `yarn`; `local[4]` for none.",
    )
    remote: str = setting(
        "",
        "Server of Spark Connect that jobs are sent to instead.",
        change="When the cluster is reached by Spark Connect, as with Databricks: `sc://…`.",
        shown="none",
    )

    @property
    def masters(self) -> list[tuple[str, int]]:
        """Host and port of a standalone master and its standbys; none if it is of another kind."""
        scheme, _, places = self.master.partition("://")
        found = [urlsplit(f"//{one}") for one in places.split(",")] if scheme == "spark" else []
        try:
            return [(one.hostname or "", one.port or 7077) for one in found]
        except ValueError:  # no port's number; Spark says so
            return []

    @property
    def is_here(self) -> bool:
        """Whether it is of this machine alone."""
        hosts = {host for host, _ in self.masters}
        return self.master.startswith("local") or (bool(hosts) and hosts <= _LOOPBACK)


class ReconcileSettings(Settings):
    """The reconciliation."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_")
    timeout_seconds: float = setting(
        120,
        "Longest wait for bronze to have what the shop committed.",
        change="When a reconciliation says that changes did not arrive and the machine is slow.",
        gt=0,
    )


class LogSettings(Settings):
    """Structured logs, on standard error."""

    model_config = SettingsConfigDict(env_prefix="LOG_")
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least severe event that is logged.", change="When you look for a cause."
    )
    format: Literal["auto", "console", "json"] = setting(
        "auto",
        "Form of the logs; auto is text in a terminal and JSON elsewhere.",
        change="When something else reads them.",
    )
