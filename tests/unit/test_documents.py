"""The documents say what is true: links, files, commands, settings, alerts, messages."""

import ast
import re
import subprocess
from functools import cache

import pytest
import yaml
from typer.main import get_command

from cli.__main__ import app
from lakehouse.settings import ALL_SETTINGS, ROOT
from lakehouse.variables import variables_of
from tests.documents import Document, commands_in, documents, slug

DOCUMENTS = documents()
OPERATIONS = Document(ROOT / "docs" / "OPERATIONS.md")
RUNTIME = {
    "mapping.yaml", "secrets.json", "var/secrets.json", "settings.json", "duckdb.sql", "spark.sql",
    "trino.sql",
}  # fmt: skip
"""Files that are made when the system runs."""
FREE = ("test",)
"""Commands that hand the rest of the line on to another program."""
PYTEST_OPTIONS = {"--rounds", "--seed", "--reuse", "--end-reuse", "--long"}
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.path.name)


@cache
def tracked():
    """Every file of the checkout, and every folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")  # fmt: skip
    files = [ROOT / name for name in listed if name]
    return {path for file in files for path in (file, *file.parents)}


@cache
def sources():
    """All that is no document, as one text."""
    kinds = {"", ".py", ".yml", ".yaml", ".toml", ".conf", ".cfg", ".sql", ".properties", ".json"}
    files = (path for path in tracked() if path.is_file() and path.suffix in kinds)
    return "\n".join(path.read_text(errors="replace") for path in files)


@every_document
def test_every_file_and_heading_that_a_document_links_to_is_there(document):
    def is_there(link):
        name, _, anchor = link.partition("#")
        target = document.path.parent / name if name else document.path
        return target.exists() and (not anchor or anchor in Document(target).anchors)

    assert [link for link in document.links if not is_there(link)] == []


@cache
def top_folders():
    """Names of the folders at the top of the checkout."""
    return {path.name for path in tracked() if path.parent == ROOT and path.is_dir()}


@cache
def tracked_names():
    """Names of files and folders, without their folders."""
    return {path.name for path in tracked()}


def names_a_file(text):
    """Whether something in backticks is the name of a file or folder of the checkout."""
    if not re.fullmatch(r"[\w.*/-]+", text) or text.startswith(("/", "./", "--")):
        return False
    first, slash, _ = text.partition("/")
    has_suffix = re.search(r"\.(py|sql|ya?ml|md|toml|txt|conf|cfg|lock)$", text)
    return bool((slash and first in top_folders()) or has_suffix)


@every_document
def test_every_file_and_folder_that_a_document_names_is_there(document):
    names = {text for text in document.ticked if names_a_file(text)} - RUNTIME
    known = tracked()
    missing = [
        name
        for name in names
        if not (
            known & {*ROOT.glob(name.rstrip("/")), document.path.parent / name}
            or ("/" not in name and name in tracked_names())
        )
    ]
    assert missing == []


@cache
def command_line():
    """The commands as Click has them: made once, for there are many."""
    return get_command(app)


def fault(words):
    """What is wrong with a command: a word or an option that the command line does not know."""
    command, rest = command_line(), list(words)
    while hasattr(command, "commands") and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        found = command.commands.get(rest[0])
        if found is None:
            return f"{command.name} has no command {rest[0]}"
        command = found
        rest.pop(0)
    if command.name in FREE:
        return None
    known = {"--help", "-h", *options_of(command)}
    used = {word.split("=")[0].rstrip(",.:") for word in rest if re.match(r"--?[a-z]", word)}
    return f"{command.name} has no {', '.join(sorted(used - known))}" if used - known else None


def options_of(command):
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@every_document
def test_every_command_and_option_that_a_document_shows_is_known(document):
    faults = {" ".join(words): fault(words) for words in document.commands if words}
    assert {shown: told for shown, told in faults.items() if told} == {}


def test_documents_show_commands():
    assert sum(len(document.commands) for document in DOCUMENTS) > 100


@pytest.mark.parametrize(("shown", "is_known"), [
    ("./pipeline up --no-airflow --no-superset", True),
    ("./pipeline up --without-airflow", False),
    ("./pipeline connect apply --accept-loss", True),
    ("./pipeline connect undo", False),
    ("FLUSH=1 ./pipeline land   # a comment --with-dashes", True),
    ("./pipeline down; ./pipeline nonsense", False),
    ("./pipeline runs show 12", True),
    ("./pipeline replay --into bronze --entity orders --from-offset 1:0", True),
])  # fmt: skip
def test_commands_are_read_as_a_shell_would(shown, is_known):
    assert all(fault(words) is None for words in commands_in(shown)) is is_known


@every_document
def test_every_option_that_stands_alone_is_one_of_some_command(document):
    def all_options(command):
        children = getattr(command, "commands", {}).values()
        return options_of(command).union(*map(all_options, children))

    known = {*all_options(command_line()), "--help", *PYTEST_OPTIONS}
    alone = {word for text in document.ticked for word in re.findall(r"^--[a-z-]+", text)}
    assert alone - known == set()


@every_document
def test_every_setting_and_variable_that_a_document_names_exists(document):
    settings = {variable.name for group in ALL_SETTINGS for variable in variables_of(group)}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(?!…|_)", document.text))
    unknown = {name for name in named - settings if name not in sources()}
    assert unknown == set()


def test_every_test_that_proves_a_promise_exists():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "SPECS.md").read_text()))
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"def (test_\w+)\(", tests))
    assert len(named) > 30
    assert named - existing == set()


ONLY_LONG = {
    "test_standby_that_takes_over_loses_and_doubles_nothing": "a second server, for two minutes",
    "test_policy_decides_of_a_required_column_that_is_dropped_or_renamed":
        "each change of a schema waits for a whole run; its rules are tested without servers",
}  # fmt: skip
"""A test of each promise that only long tests prove, or only long ones on real servers, and why."""


def is_long(node: ast.AST) -> bool:
    return "mark.long" in ast.unparse(node)


def test_every_promise_has_a_test_that_runs_each_time():
    """What is marked `long` runs at night. A promise proved on real servers is so each time."""
    with_servers, long = set(), set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "unit" not in path.parts:
            with_servers |= found.keys()
        marks = [node for node in tree.body if ast.unparse(node).startswith("pytestmark = ")]
        all_are_long = any(map(is_long, marks))
        for name, function in found.items():
            # Of a test with cases, some may be long.
            marks = [d for d in function.decorator_list if "parametrize" not in ast.unparse(d)]
            if all_are_long or any(map(is_long, marks)):
                long.add(name)
    promises = re.split(r"\n(?=\*\*|#)", (ROOT / "docs" / "SPECS.md").read_text())
    proofs = [named for text in promises if (named := set(re.findall(r"`(test_\w+)`", text)))]
    assert len(proofs) > 30
    proofs += [named & with_servers for named in proofs if named & with_servers]
    unproved = [named for named in proofs if named <= long]
    assert [named for named in unproved if not named & ONLY_LONG.keys()] == []
    assert ONLY_LONG.keys() <= set().union(*unproved), "these are proved by others, too"


def shown_commands(name):
    blocks = [block for block in Document(ROOT / name).blocks if block.language == "sh"]
    lines = (line for block in blocks for line in block.text.splitlines())
    return [line.partition("#")[0].strip() for line in lines]


def test_both_languages_show_the_same_commands():
    assert shown_commands("README.fr.md") == shown_commands("README.md")


def test_every_block_that_is_not_run_says_why():
    text = "\n".join(document.text for document in DOCUMENTS)
    for mark in re.findall(r"<!-- not run.*?-->", text):
        assert re.fullmatch(r"<!-- not run: \S.+ -->", mark), mark


def test_every_alert_has_its_section_and_no_section_is_of_none():
    rules = [path for path in tracked() if "rules" in path.parts and path.suffix == ".yml"]
    alerts = {
        rule["alert"]
        for path in rules
        for group in yaml.safe_load(path.read_text()).get("groups", [])
        for rule in group["rules"]
        if "alert" in rule
    }
    chapter = OPERATIONS.text.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    sections = set(re.findall(r"^### (\w+)$", chapter, re.MULTILINE))
    assert len(sections) > 10
    if rules:
        assert {slug(alert) for alert in alerts} == {slug(section) for section in sections}


# Messages

ERRORS = {"StopPipelineError", "RetryLaterError", "BusyError", "GoneError", "WrongArgumentError"}
UNTOLD = ("cli/", "lakehouse/selection.py", "connectors/request.py", "producers/plan.py",
          "devtools/", "dags/", "benchmarks/", "tests/")  # fmt: skip
"""Where options are validated, whose messages name the option; and what no user meets."""


def phrases():
    """What the document gives of messages."""
    chapter = OPERATIONS.text.partition("\n## Error messages\n")[2]
    return re.findall(r"^\| `(.+?)` \|", chapter, re.MULTILINE)


def texts(node):
    """The constant text of a message, with … for each value in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(texts(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return texts(node.left) + texts(node.right)
    return "…"


@cache
def messages():
    """Each message that is raised as an error of ours, by file and line."""
    found = {}
    for path in sorted(tracked()):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        if path.suffix != ".py" or name.startswith(UNTOLD):
            continue
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                found |= {f"{name}:{line}": text for line, text in raised_in(function)}
    return found


def assigned(argument, named):
    """What an argument was last assigned before; itself, if it is no variable."""
    if not isinstance(argument, ast.Name):
        return argument
    before = [one for one in named.get(argument.id, ()) if one.lineno < argument.lineno]
    return max(before, key=lambda one: one.lineno).value if before else None


def raised_in(function):
    """Line and text of what a function raises, where the text is written in it."""
    named = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named.setdefault(node.targets[0].id, []).append(node)
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ERRORS:
            continue
        # The problem and, if it is given apart, the action.
        text = ". ".join(texts(assigned(argument, named)) for argument in node.args)
        if re.search(r"[a-z]{3}", text):
            yield node.lineno, text


def test_every_message_that_a_user_can_meet_is_in_the_document():
    known = phrases()
    found = messages()
    assert len(found) > 100
    untold = {place: text for place, text in found.items() if not any(p in text for p in known)}
    assert untold == {}


def test_every_message_in_the_document_is_one_that_there_is():
    written = "\n".join(messages().values()) + sources().replace('"\n', "")
    joined = re.sub(r'"\s*\n\s*f?"', "", written)
    assert [phrase for phrase in phrases() if phrase not in joined] == []
