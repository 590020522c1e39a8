"""Values in common use that no standard lists: country codes, lower-case words in names."""

LANGUAGES = ("fr", "de", "es", "it", "nl", "pl", "sv", "pt", "ja")
"""Languages of the recognized country and region names, besides English and ISO's names."""

CODES_IN_USE: dict[str, str] = {
    # Reserved or withdrawn in ISO 3166-1 and -3.
    "UK": "GB", "EL": "GR", "FX": "FR", "DDR": "DE", "DD": "DE", "BU": "MM", "BUR": "MM",
    "TP": "TL", "TMP": "TL", "ZR": "CD", "ZAR": "CD", "ROM": "RO",
    # Reserved for parts of a country, in use by carriers and customs.
    "AC": "SH", "TA": "SH", "IC": "ES", "EA": "ES", "CP": "FR", "DG": "IO", "XI": "GB",
    # User-assigned: Kosovo, as the EU, carriers and banks write it; ISO has no code.
    "XK": "XK", "XKX": "XK", "XKK": "XK", "KOS": "XK", "Kosovo": "XK", "Kosowo": "XK",
    "コソボ": "XK",
    # IOC codes that differ from ISO's.
    "ALG": "DZ", "BUL": "BG", "CHI": "CL", "CRO": "HR", "DEN": "DK", "GER": "DE", "GRE": "GR",
    "HOL": "NL", "INA": "ID", "KSA": "SA", "LAT": "LV", "MAS": "MY", "NED": "NL", "NGR": "NG",
    "PHI": "PH", "POR": "PT", "PUR": "PR", "RSA": "ZA", "SLO": "SI", "SUI": "CH", "TPE": "TW",
    "UAE": "AE", "URU": "UY", "VIE": "VN",
    # Common names.
    "England": "GB", "Scotland": "GB", "Wales": "GB", "Northern Ireland": "GB",
    "Great Britain": "GB", "Britain": "GB", "America": "US", "U.S.A.": "US", "U.S.": "US",
    "Holland": "NL", "Russia": "RU", "South Korea": "KR", "North Korea": "KP",
    "Czech Republic": "CZ", "Turkey": "TR", "Ivory Coast": "CI", "Deutschland": "DE",
}  # fmt: skip
"""Codes and names in common use for a country, and its ISO 3166-1 alpha-2 code, or `XK`.

Former countries without a single successor (AN, CS, SU, YU) are left out.
"""

WITHDRAWN_CURRENCIES = frozenset((
    "AFA", "ANG", "ATS", "AZM", "BEF", "BGL", "BGN", "BYR", "CSD", "CUC", "CYP", "DEM", "EEK",
    "ESP", "FIM", "FRF", "GHC", "GRD", "HRK", "IEP", "ITL", "LTL", "LUF", "LVL", "MRO", "MTL",
    "MZM", "NLG", "PTE", "ROL", "RUR", "SDD", "SIT", "SKK", "SLL", "SRG", "STD", "TMM", "TRL",
    "VEB", "VEF", "YUM", "ZMK", "ZWD", "ZWL",
))  # fmt: skip
"""Currencies withdrawn from ISO 4217 that past orders may have."""

NO_CURRENCY = frozenset(("XXX", "XTS"))
"""ISO 4217 codes for no currency and for tests."""

LOWER_CASE_WORDS = frozenset((
    "af", "am", "an", "and", "auf", "av", "da", "de", "del", "della", "den", "der", "des", "di",
    "do", "dos", "du", "e", "el", "en", "et", "i", "la", "las", "le", "les", "los", "of", "on",
    "op", "sur", "te", "ten", "ter", "the", "und", "upon", "van", "von", "y", "zu", "zum", "zur",
))  # fmt: skip
"""Words that are lower case within a name, unless they begin it."""

REGIONS_IN_USE: dict[tuple[str, str], str] = {
    ("BE", "Vlaanderen"): "BE-VLG", ("BE", "Flandre"): "BE-VLG", ("BE", "Flanders"): "BE-VLG",
    ("ES", "Comunidad de Madrid"): "ES-MD", ("ES", "Comunidad Valenciana"): "ES-VC",
    ("SE", "Stockholm"): "SE-AB", ("SE", "Skåne"): "SE-M", ("SE", "Västra Götaland"): "SE-O",
    ("JP", "東京都"): "JP-13", ("JP", "大阪府"): "JP-27", ("JP", "京都府"): "JP-26",
}  # fmt: skip
"""Common names of regions, by country, and their ISO 3166-2 codes."""
