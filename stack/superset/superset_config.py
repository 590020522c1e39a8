"""Superset's configuration, which Superset runs from a copy next to `values.json`.

Secrets and addresses are in that file, which only the owner can read.
"""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from http import HTTPStatus
from pathlib import Path

from babel import Locale
from flask import Response, jsonify, request, session
from flask_login import current_user
from superset.config import THEME_DEFAULT as _THEME
from superset.constants import TimeGrain
from superset.translations.utils import get_language_pack

_VALUES = json.loads(Path(__file__).with_name("values.json").read_text())

SECRET_KEY = _VALUES["secret_key"]
SQLALCHEMY_DATABASE_URI = _VALUES["database_url"]
APP_NAME = "Shop"

# Pages, numbers and dates in the shop's language; without a menu of others.
_LOCALE = Locale(_VALUES["language"])
BABEL_DEFAULT_LOCALE = _LOCALE.language
LANGUAGES = {_LOCALE.language: {"flag": _LOCALE.language, "name": _LOCALE.display_name}}
if _LOCALE.language != "en":

    def _names(kind: str, width: str) -> list[str]:
        return [name for _, name in sorted(getattr(_LOCALE, kind)["format"][width].items())]

    _symbols = _LOCALE.number_symbols["latn"]
    D3_FORMAT = {
        "decimal": _symbols["decimal"],
        "thousands": _symbols["group"],
        "grouping": [3],
        "currency": ["", ""],
    }
    D3_TIME_FORMAT = {
        "dateTime": "%A %e %B %Y, %X",
        "date": "%d/%m/%Y",
        "time": "%H:%M:%S",
        "periods": ["AM", "PM"],
        # D3's weeks begin on Sunday, Babel's on Monday.
        "days": [*_names("days", "wide")[-1:], *_names("days", "wide")[:-1]],
        "shortDays": [*_names("days", "abbreviated")[-1:], *_names("days", "abbreviated")[:-1]],
        "months": _names("months", "wide"),
        "shortMonths": _names("months", "abbreviated"),
    }

# Authentication and browser security.
AUTH_USER_REGISTRATION = False
ENABLE_CORS = False  # no CORS: pages of other sites cannot call the API
RATELIMIT_ENABLED = True
RATELIMIT_APPLICATION = (
    ""  # no rate limit for pages and charts: behind a proxy all users share one address
)
RATELIMIT_HEADERS_ENABLED = True
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "20 per minute"


def FLASK_APP_MUTATOR(app) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, N802
    """Correct languages, limit failed logins, repeat failed charts; called by Superset.

    Superset 6 limits requests of the login page, not submissions of the form or the API. Only
    failed logins count, so that successful ones never exhaust the limit.
    """
    app.before_request(_forget_another_language)
    app.after_request(_with_right_words)
    limiter = app.appbuilder.sm.limiter
    for place, is_refused in (
        # The form redirects in both cases.
        ("AuthDBView", lambda _: not current_user.is_authenticated),
        ("SecurityApi", lambda answer: answer.status_code != HTTPStatus.OK),
    ):
        limit = limiter.limit(AUTH_RATE_LIMIT, methods=["POST"], deduct_when=is_refused)
        limit(app.blueprints[place])
    # Only now: it needs the application.
    from superset.charts.data.api import ChartDataRestApi  # noqa: PLC0415

    ChartDataRestApi.data = _asked_again(ChartDataRestApi.data)


def _with_right_words(answer: Response) -> Response:
    """Correct the texts that a page asks for: the row of sums would be "Dimanche".

    See findings/superset_serves_guessed_translations.
    """
    is_ours = request.endpoint == "Superset.language_pack" and answer.status_code == HTTPStatus.OK
    if not is_ours or request.view_args != {"lang": "fr"}:
        return answer
    pack = get_language_pack("fr")
    pack["locale_data"]["superset"]["Summary"] = ["Total"]
    return jsonify(pack)


def _forget_another_language() -> None:
    """Continue a session of another language in this one; its pages would be empty."""
    if session.get("locale", BABEL_DEFAULT_LOCALE) != BABEL_DEFAULT_LOCALE:
        del session["locale"]


_AT_ONCE_SECONDS = 5


def _has_lost_connection(answer: Response) -> bool:
    has_failed = answer.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)
    return has_failed and "connect" in answer.get_data(as_text=True)


def _asked_again(view: Callable[..., Response]) -> Callable[..., Response]:
    """Return the view of a chart's data that repeats, twice, what failed at once.

    A page that refreshes would show an error until its next refresh, for one lost connection. What
    failed for another reason, such as a time limit or a column that is gone, fails again.
    """

    @wraps(view)
    def asked(*args: object, **kwargs: object) -> Response:
        began = time.monotonic()
        answer = view(*args, **kwargs)
        for seconds in (1, 2):
            if not _has_lost_connection(answer) or time.monotonic() > began + _AT_ONCE_SECONDS:
                break
            time.sleep(seconds)
            answer = view(*args, **kwargs)
        return answer

    return asked


RATELIMIT_STORAGE_URI = "memory://"  # there is one process
WTF_CSRF_ENABLED = True
WTF_CSRF_TIME_LIMIT = int(timedelta(days=7).total_seconds())
# Cookies do not depend on ports: the name separates it from other servers on this machine.
SESSION_COOKIE_NAME = "superset_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = False  # loopback, without TLS
PERMANENT_SESSION_LIFETIME = timedelta(days=7)
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "default-src": ["'self'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
    "frame_options": "DENY",
}
TALISMAN_DEV_CONFIG = TALISMAN_CONFIG
FAB_API_SWAGGER_UI = False
FAB_ADD_SECURITY_API = False

# Charts always query the warehouse; only Superset's own metadata is cached.
CACHE_CONFIG = {"CACHE_TYPE": "SimpleCache", "CACHE_DEFAULT_TIMEOUT": 60}
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
_KEPT = {
    "CACHE_TYPE": "SupersetMetastoreCache",
    "CACHE_DEFAULT_TIMEOUT": int(timedelta(days=7).total_seconds()),
}
FILTER_STATE_CACHE_CONFIG = _KEPT
EXPLORE_FORM_DATA_CACHE_CONFIG = _KEPT
SUPERSET_WEBSERVER_TIMEOUT = 60
DASHBOARD_AUTO_REFRESH_MODE = "force"
DASHBOARD_AUTO_REFRESH_INTERVALS = [
    [0, "Off"],
    [5, "5 seconds"],
    [10, "10 seconds"],
    [60, "1 minute"],
]

# A chart's own SQL reads the chosen period and step, to leave out periods that they cut.
FEATURE_FLAGS = {"ENABLE_TEMPLATE_PROCESSING": True}

# Tables hold days; Superset would offer seconds, and weeks that begin on Sunday.
_GRAINS = {TimeGrain.DAY, TimeGrain.WEEK, TimeGrain.MONTH, TimeGrain.QUARTER, TimeGrain.YEAR}
TIME_GRAIN_DENYLIST = [grain.value for grain in TimeGrain if grain not in _GRAINS]

# Superset's blue and its grey of cells without a value have less than WCAG's contrast of 4.5.
THEME_DEFAULT = {
    **_THEME,
    "token": {
        **_THEME["token"],
        "colorPrimary": "#1B6B93",
        "colorLink": "#1B6B93",
        "colorTextTertiary": "rgba(0, 0, 0, 0.6)",
        "colorTextDescription": "rgba(0, 0, 0, 0.6)",
    },
}

EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "shop",
        "label": "Shop",
        "description": "The shop's charts",
        "isDefault": True,
        "colors": [
            "#1B6B93", "#F2A541", "#3C9D7C", "#D1495B", "#7A6FB0",
            "#4FB0C6", "#A3B54A", "#E07A3F", "#5C6B73", "#C58BB0",
            "#8A6D3B", "#B7A04A",
        ],
    },
    {
        "id": "shop_pale",
        "label": "Shop, pale",
        "description": "Behind dark text",
        "isDefault": False,
        "colors": ["#8CC4D6", "#F6C987", "#93CDB6", "#EBA3AC"],
    },
]  # fmt: skip
EXTRA_SEQUENTIAL_COLOR_SCHEMES = [
    {
        "id": "shop_blue",
        "label": "Shop, light to dark",
        "description": "The shop's maps",
        "isDiverging": False,
        "isDefault": True,
        "colors": ["#E4F1F5", "#A9D3E0", "#62ABC5", "#2C82A6", "#14506F"],
    }
]
