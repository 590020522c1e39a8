"""Settings of the shop, and limits of gold's contract, that the warehouse's views need."""

import psycopg

from lakehouse.contracts.gold import CRITICAL_DAYS, DEMAND_DAYS, LOW_DAYS, OVERSTOCKED_DAYS
from lakehouse.postgres import explaining
from lakehouse.settings import ShopSettings
from lakehouse.trouble import Service

_DESCRIBE = """
insert into etl.shop (
    time_zone, base_currency, demand_days, critical_days, low_days, overstocked_days
)
values (%s, %s, %s, %s, %s, %s)
on conflict (is_only) do update set
    (time_zone, base_currency, demand_days, critical_days, low_days, overstocked_days) = row(
        excluded.time_zone, excluded.base_currency, excluded.demand_days, excluded.critical_days,
        excluded.low_days, excluded.overstocked_days
    )"""


def describe_shop(dsn: str, shop: ShopSettings) -> None:
    """Write the settings to `etl.shop`, as the role `batch`.

    Raises:
        RetryLaterError: the warehouse does not answer.
    """
    limits = (DEMAND_DAYS, CRITICAL_DAYS, LOW_DAYS, OVERSTOCKED_DAYS)
    with (
        explaining(Service.WAREHOUSE, "The shop's settings cannot be stored in it"),
        psycopg.connect(dsn) as connection,
    ):
        connection.execute(_DESCRIBE, [shop.time_zone, shop.base_currency, *limits])
