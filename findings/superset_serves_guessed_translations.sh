#!/bin/sh
# Superset in another language than English: translations that nobody has approved.
#
# One would guess: entries that a catalog marks as fuzzy, guessed from a similar text, are not shown;
# msgfmt and pybabel leave them out unless told otherwise, and the English text appears.
# Seen: they are compiled into both catalogs that the wheel ships, for the server and for the browser.
# In French these are a third of all; the row of sums of a pivot table, "Summary", is "Dimanche"
# (Sunday), guessed from "Sunday".
# With: apache-superset 6.1.0.
. "$(dirname "$0")/common.sh"
install_packages babel==2.18.0
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" \
  apache-superset==6.1.0
"$python" - "$folder" <<'PYTHON'
import gettext
import io
import json
import pathlib
import sys
import zipfile

from babel.messages.pofile import read_po

[wheel] = pathlib.Path(sys.argv[1]).glob("apache_superset-*.whl")
with zipfile.ZipFile(wheel) as files:
    place = "superset/translations/fr/LC_MESSAGES/messages"
    catalog = read_po(io.BytesIO(files.read(f"{place}.po")))
    of_server = gettext.GNUTranslations(io.BytesIO(files.read(f"{place}.mo")))
    of_browser = json.loads(files.read(f"{place}.json"))["locale_data"]["superset"]
guessed = [one for one in catalog if one.fuzzy and isinstance(one.id, str) and one.id]
shown = [one for one in guessed if of_browser.get(one.id) == [one.string]]
print("guess: no fuzzy entry is shown")
print(f"seen: {len(shown)} of {len(guessed)} are; Summary is {of_browser['Summary'][0]}")
assert len(shown) > len(guessed) / 2
assert of_server.gettext("Summary") == of_browser["Summary"][0] == "Dimanche"
PYTHON
