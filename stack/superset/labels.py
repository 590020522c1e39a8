"""Labels: words instead of codes, and the texts of charts in the shop's language.

All are in `dashboards/labels.yaml`: of each coded column, the label of a value in each language;
and the other languages' text for each English text of the files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.declarations import read_mapping
from lakehouse.settings import ROOT

FILE = ROOT / "dashboards" / "labels.yaml"
_ENGLISH = "en"
"""The language of the files."""
_TEXTS = (
    "compare_suffix", "dashboard_title", "description", "name", "sliceName", "slice_name",
    "subtitle", "text", "verbose_name", "x_axis_title", "y_axis_title",
)  # fmt: skip
"""Keys whose values are shown."""
_LABELLED = re.compile(
    r"CASE (?P<value>.+?)(?: WHEN '(?:[^']|'')*' THEN '(?:[^']|'')*')+ ELSE (?P=value) END",
    re.DOTALL,
)
"""An expression that has labels; as they were at the last import, which may be others by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What charts show.

    Attributes:
        values: by column, by code; a value without a label is shown as it is.
        texts: by the English text; a text without a translation stays English.
    """

    values: Mapping[str, Mapping[str, str]]
    texts: Mapping[str, str]

    def labelled(self, column: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a dataset's column with labels instead of codes."""
        name = column["column_name"]
        cases = self._cases(name)
        value = column.get("expression", f'"{name}"')
        return {**column, "expression": f"CASE {value}{cases}{value} END"} if cases else column

    def unlabelled(self, column: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a dataset's column as it was before `labelled`, by whatever labels."""
        name = column["column_name"]
        found = _LABELLED.fullmatch(str(column.get("expression", "")))
        if found is None or name not in self.values:
            return column
        value = found["value"]
        own = {} if value == f'"{name}"' else {"expression": value}
        return {k: v for k, v in column.items() if k != "expression"} | own

    def _cases(self, name: str) -> str:
        cases = "".join(
            f" WHEN {_quoted(code)} THEN {_quoted(label)}"
            for code, label in self.values.get(name, {}).items()
            if code != label
        )
        return cases and f"{cases} ELSE "

    def to_words(self, content: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        """Return the content with texts and codes as they are shown."""
        return _renamed(content, self.texts, self.values)

    def to_codes(self, content: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        """Return the content as it was before `to_words`."""
        texts = {text: english for english, text in self.texts.items()}
        values = {
            column: {label: code for code, label in labels.items()}
            for column, labels in self.values.items()
        }
        return _renamed(content, texts, values)


def read_labels(language: str, time_zone: str, path: Path = FILE) -> Labels:
    """Read the labels of a language; `{zone}` in a text is the shop's time zone.

    Raises:
        StopPipelineError: the file is not valid YAML.
    """
    content = read_mapping(path)
    return Labels(
        values={
            column: {str(code): labels[language] for code, labels in codes.items()}
            for column, codes in content["values"].items()
        },
        texts={
            one[_ENGLISH]: one[language].replace("{zone}", time_zone) for one in content["texts"]
        },
    )


def _renamed(
    content: Any,  # noqa: ANN401 - whatever YAML holds
    texts: Mapping[str, str],
    values: Mapping[str, Mapping[str, str]],
) -> Any:  # noqa: ANN401
    if isinstance(content, list):
        return [_renamed(one, texts, values) for one in content]
    if not isinstance(content, dict):
        return content
    found: dict[str, Any] = {
        key: texts.get(one, one)
        if key in _TEXTS and isinstance(one, str)
        else _renamed(one, texts, values)
        for key, one in content.items()
    }
    if found.get("subject") in values and "comparator" in found:
        known, sought = values[found["subject"]], found["comparator"]
        is_list = isinstance(sought, list)
        renamed = [known.get(one, one) for one in (sought if is_list else [sought])]
        found["comparator"] = renamed if is_list else renamed[0]
    if "label_colors" in found:
        every = {code: label for known in values.values() for code, label in known.items()}
        found["label_colors"] = {every.get(k, k): v for k, v in found["label_colors"].items()}
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
