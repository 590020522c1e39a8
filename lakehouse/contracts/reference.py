"""What people write that no standard lists: codes of countries, small words in names."""

LANGUAGES = ("fr", "de", "es", "it", "nl", "pl", "sv", "pt", "ja")
"""In which the names of countries and regions are understood, besides English and ISO's own."""

CODES_IN_USE: dict[str, str] = {
    # Reserved or withdrawn in ISO 3166-1 and -3.
    "UK": "GB", "EL": "GR", "FX": "FR", "DDR": "DE", "DD": "DE", "BU": "MM", "BUR": "MM",
    "TP": "TL", "TMP": "TL", "ZR": "CD", "ZAR": "CD", "ROM": "RO",
    # Reserved for parts of a country, in use by carriers and customs.
    "AC": "SH", "TA": "SH", "IC": "ES", "EA": "ES", "CP": "FR", "DG": "IO", "XI": "GB",
    # User-assigned: Kosovo, as the EU, carriers and banks write it; ISO has no code.
    "XK": "XK", "XKX": "XK", "XKK": "XK", "KOS": "XK", "Kosovo": "XK", "Kosowo": "XK",
    "コソボ": "XK",
    # The Olympic committee's, where they are not ISO's.
    "ALG": "DZ", "BUL": "BG", "CHI": "CL", "CRO": "HR", "DEN": "DK", "GER": "DE", "GRE": "GR",
    "HOL": "NL", "INA": "ID", "KSA": "SA", "LAT": "LV", "MAS": "MY", "NED": "NL", "NGR": "NG",
    "PHI": "PH", "POR": "PT", "PUR": "PR", "RSA": "ZA", "SLO": "SI", "SUI": "CH", "TPE": "TW",
    "UAE": "AE", "URU": "UY", "VIE": "VN",
    # As spoken.
    "England": "GB", "Scotland": "GB", "Wales": "GB", "Northern Ireland": "GB",
    "Great Britain": "GB", "Britain": "GB", "America": "US", "U.S.A.": "US", "U.S.": "US",
    "Holland": "NL", "Russia": "RU", "South Korea": "KR", "North Korea": "KP",
    "Czech Republic": "CZ", "Turkey": "TR", "Ivory Coast": "CI", "Deutschland": "DE",
}  # fmt: skip
"""Codes and names that are in use for a country, and its ISO 3166-1 alpha-2, or `XK`.

What had no single successor (AN, CS, SU, YU) names no country of today.
"""

WITHDRAWN_CURRENCIES = frozenset((
    "AFA", "ANG", "ATS", "AZM", "BEF", "BGL", "BGN", "BYR", "CSD", "CUC", "CYP", "DEM", "EEK",
    "ESP", "FIM", "FRF", "GHC", "GRD", "HRK", "IEP", "ITL", "LTL", "LUF", "LVL", "MRO", "MTL",
    "MZM", "NLG", "PTE", "ROL", "RUR", "SDD", "SIT", "SKK", "SLL", "SRG", "STD", "TMM", "TRL",
    "VEB", "VEF", "YUM", "ZMK", "ZWD", "ZWL",
))  # fmt: skip
"""What ISO 4217 had when orders of the past were placed, and its list of today has not."""

NO_CURRENCY = frozenset(("XXX", "XTS"))
"""Codes of ISO 4217 that stand for no currency, and for tests."""

LOWER_CASE_WORDS = frozenset((
    "af", "am", "an", "and", "auf", "av", "da", "de", "del", "della", "den", "der", "des", "di",
    "do", "dos", "du", "e", "el", "en", "et", "i", "la", "las", "le", "les", "los", "of", "on",
    "op", "sur", "te", "ten", "ter", "the", "und", "upon", "van", "von", "y", "zu", "zum", "zur",
))  # fmt: skip
"""Words within a name that are written small, unless they begin it."""

REGIONS_IN_USE: dict[tuple[str, str], str] = {
    ("BE", "Vlaanderen"): "BE-VLG", ("BE", "Flandre"): "BE-VLG", ("BE", "Flanders"): "BE-VLG",
    ("ES", "Comunidad de Madrid"): "ES-MD", ("ES", "Comunidad Valenciana"): "ES-VC",
    ("SE", "Stockholm"): "SE-AB", ("SE", "Skåne"): "SE-M", ("SE", "Västra Götaland"): "SE-O",
    ("JP", "東京都"): "JP-13", ("JP", "大阪府"): "JP-27", ("JP", "京都府"): "JP-26",
}  # fmt: skip
"""Names of regions as they are spoken, by country, and their ISO 3166-2 code."""
