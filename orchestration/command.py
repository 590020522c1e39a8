"""Commands of the pipeline as tasks: progress goes to the task's log, the JSON is the result."""

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
    """Run `./pipeline` with these arguments and `--format json`; returns the parsed output.

    A command that exits with 1 but has written a result, such as a stopped extraction, returns it.

    Raises:
        StopPipelineError: manual action is needed, an argument is wrong, or the command crashed;
            with the command's own message.
        RetryLaterError: any other failure, which may be transient.
    """
    command = [sys.executable, "-m", "cli", *arguments, "--format", "json"]
    _log.info("./pipeline %s", " ".join(arguments))
    # A file instead of a pipe: a pipe would fill up while standard error is read.
    with tempfile.TemporaryFile("w+") as result:
        told = []
        with subprocess.Popen(command, stdout=result, stderr=subprocess.PIPE, text=True) as process:
            try:
                for line in process.stderr or ():
                    _log.info("%s", line.rstrip())
                    told.append(line)
            except BaseException:
                # On a timeout or termination of the task, end the command, too.
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
    """Check that an ended extraction has read every table completely.

    Raises:
        StopPipelineError: it was stopped, or Debezium cannot read a table. A retry would start a
            new extraction.
    """
    if extraction["is_complete"]:
        return
    left = [
        f"{one['table']} ({one['reason'] or one['state']})"
        for one in extraction["tables"]
        if one["state"] != "read"
    ]
    message = (
        f"These tables were not read completely: {', '.join(left)}. Rows already read stay. If it "
        "was not stopped on purpose: ./pipeline logs connect. Then trigger the DAG for them again."
    )
    raise StopPipelineError(message)
