#!/bin/sh
# supervisor: what a call that waits for a program's end costs.
#
# One would guess: `stopProcess(name, wait=True)` lets supervisor sleep until the program has ended; it
# is woken by SIGCHLD, and looks once a second anyway.
# Seen: until then supervisor asks as fast as it can, on one core. With wait=False, and a caller that asks
# a few times a second, the same stop takes as long and next to no CPU.
# With: supervisor 4.3.0, on Linux (CPU is read from /proc).
. "$(dirname "$0")/common.sh"
install_packages supervisor==4.3.0
cat >"$folder/slow.py" <<'PYTHON'
import signal
import sys
import time


def end(*_):
    time.sleep(4)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
time.sleep(600)
PYTHON
cat >"$folder/supervisord.conf" <<EOF
[unix_http_server]
file=$folder/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile=$folder/log
pidfile=$folder/pid
[program:slow]
command=$python $folder/slow.py
autostart=false
stopwaitsecs=30
EOF
"$python" -W ignore -m supervisor.supervisord -c "$folder/supervisord.conf"
"$python" -W ignore - "$folder/socket" <<'PYTHON'
import os
import sys
import time
import xmlrpc.client
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport

TICKS = os.sysconf("SC_CLK_TCK")


def ask(method, *arguments):
    transport = SupervisorTransport(None, None, f"unix://{sys.argv[1]}")
    proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
    return getattr(proxy.supervisor, method)(*arguments)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


pid = ask("getPID")
used = {}
try:
    for wait in (True, False):
        ask("startProcess", "slow", False)
        time.sleep(2)
        before = cpu_seconds(pid)
        ask("stopProcess", "slow", wait)
        while ask("getProcessInfo", "slow")["pid"]:
            time.sleep(0.2)
        used[wait] = cpu_seconds(pid) - before
finally:
    ask("shutdown")
print("guess: to stop a program takes no CPU, whether one waits in the call or asks")
print(f"seen:  {used[True]:.2f} s of CPU with wait=True, {used[False]:.2f} s with wait=False, in 4 s")
assert used[True] > 10 * used[False]
PYTHON
