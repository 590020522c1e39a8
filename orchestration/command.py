"""A command of the pipeline as a task: what it tells goes to the log, its JSON is the result."""

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse.errors import RetryLaterError, StopPipelineError

_log = logging.getLogger(__name__)
_SAYS_NO = 1
_WRONG_ARGUMENTS = 2
_MISTAKE = 70
_COMES_BACK = frozenset({StopPipelineError.exit_status, _WRONG_ARGUMENTS, _MISTAKE})


def run_command(arguments: Sequence[str]) -> dict[str, Any]:
    """Run `./pipeline` with these arguments, and `--format json`.

    One that did its work and says no has a result, too: an extraction that was stopped.

    Raises:
        StopPipelineError: it says that a person has to act, or what is wrong with an argument, or
            it has a mistake; its own words.
        RetryLaterError: any other failure, which may be gone the next time.
    """
    command = [sys.executable, "-m", "cli", *arguments, "--format", "json"]
    _log.info("./pipeline %s", " ".join(arguments))
    # A file, since nobody reads a pipe while what it tells is followed.
    with tempfile.TemporaryFile("w+") as result:
        told = []
        with subprocess.Popen(command, stdout=result, stderr=subprocess.PIPE, text=True) as process:
            try:
                for line in process.stderr or ():
                    _log.info("%s", line.rstrip())
                    told.append(line)
            except BaseException:
                # The task's time is up, or it is told to end: the command ends, too.
                process.terminate()
                raise
        result.seek(0)
        out = result.read()
    if process.returncode == 0 or (process.returncode == _SAYS_NO and out.strip()):
        found: dict[str, Any] = json.loads(out)
        return found
    message = "".join(told[-20:]).strip() or f"exit status {process.returncode}"
    if process.returncode in _COMES_BACK:
        raise StopPipelineError(message)
    raise RetryLaterError(message)


def require_all_read(extraction: Mapping[str, Any]) -> None:
    """Of an extraction that is over: whether every table was read to its end.

    Raises:
        StopPipelineError: somebody stopped it, or Debezium cannot read a table: the same again
            would begin it anew.
    """
    if extraction["is_complete"]:
        return
    left = [
        f"{one['table']} ({one['reason'] or one['state']})"
        for one in extraction["tables"]
        if one["state"] != "read"
    ]
    message = (
        f"These tables were not read to their end: {', '.join(left)}. What was read stays. If "
        "nobody stopped it: ./pipeline logs connect. Then trigger the DAG for these tables again."
    )
    raise StopPipelineError(message)
