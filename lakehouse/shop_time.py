"""Points in time as people write and read them: in the shop's time zone, which is always named."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from lakehouse.errors import WrongArgumentError
from lakehouse.settings import ShopSettings


class AmbiguousTimeError(ValueError):
    """A local time that stands for no instant, or for two."""


def shop_time(instant: datetime) -> str:
    """Return it to the second in SHOP_TIME_ZONE, such as `2026-11-25 08:00:00 CET`."""
    return f"{instant.astimezone(_zone()):%Y-%m-%d %H:%M:%S %Z}"


def parsed_instant(text: str) -> datetime:
    """Return the instant, in UTC, of an ISO 8601 text; in SHOP_TIME_ZONE if it names no offset.

    Raises:
        AmbiguousTimeError: a local time that clocks skip or show twice.
        ValueError: it is no such text.
        OverflowError: it lies outside of the years 1 to 9999.
    """
    written = datetime.fromisoformat(text.strip())
    if written.tzinfo is not None:
        return written.astimezone(UTC)
    first, second = (written.replace(tzinfo=_zone(), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        # Either fold of a skipped time has another wall time when it comes back from UTC.
        is_skipped = first.astimezone(UTC).astimezone(_zone()).replace(tzinfo=None) != written
        how = "skip it" if is_skipped else "show it twice"
        message = f"clocks in {_zone()} {how}"
        raise AmbiguousTimeError(message)
    return first.astimezone(UTC)


def instant_of(option: str, text: str | None) -> datetime | None:
    """Return the instant, in UTC, that an option of the command line has; None without one.

    Raises:
        WrongArgumentError: it is no time, or stands for none or for two.
    """
    if text is None:
        return None
    try:
        return parsed_instant(text)
    except AmbiguousTimeError as error:
        message = f"{option} {text!r}: {error}. Write its offset from UTC, such as {text}+01:00."
        raise WrongArgumentError(message) from error
    except (ValueError, OverflowError) as error:
        message = (
            f"{option} {text!r} is not a time, such as 2026-11-25T08:00 (in SHOP_TIME_ZONE) or "
            "2026-11-25T08:00+01:00."
        )
        raise WrongArgumentError(message) from error


def _zone() -> ZoneInfo:
    return ZoneInfo(ShopSettings().time_zone)
