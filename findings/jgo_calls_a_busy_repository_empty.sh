#!/bin/sh
# jgo: what it makes of a Maven repository that is busy.
#
# One would guess: an answer of 503 is tried again, or told as what it is, while 404 is "not found".
# Seen: any status but 200 is "not found in remote repositories", after one request, and without the
# status. Who tries again on what may go away cannot tell the two apart. (429 alone is tried again: after
# a minute, unless the answer says otherwise.)
# With: jgo 3.2.0.
. "$(dirname "$0")/common.sh"
install_packages jgo==3.2.0 certifi==2026.10.18 charset-normalizer==3.5.2 cjdk==0.5.0 click==8.5.1 \
  idna==3.20 progressbar2==4.6.0 psutil==7.2.2 python-utils==4.2.0 requests==2.34.2 semver==3.1.1 \
  tomli-w==1.2.0 typing-extensions==4.16.0 urllib3==2.8.0
"$python" - "$folder/repository" <<'PYTHON'
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from jgo.maven import MavenContext

asked = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.send_error(int(self.path.split("/")[1]))

    def log_message(self, *_):
        pass


found = {}
with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
    Thread(target=server.serve_forever, daemon=True).start()
    for status in (404, 503):
        asked.clear()
        maven = MavenContext(
            repo_cache=Path(sys.argv[1]),
            remote_repos={"here": f"http://127.0.0.1:{server.server_port}/{status}"},
        )
        try:
            maven.project("org.example", "thing").at_version("1.0").artifact().resolve()
        except Exception as error:
            told = str(error).replace(str(server.server_port), "PORT").split("{")[0].strip()
            found[status] = (type(error).__name__, told, len(asked))
    server.shutdown()
print("guess: 503 is tried again, and told otherwise than 404")
for status, told in found.items():
    print("seen: ", status, told)
assert found[503] == found[404]
assert found[503][0] == "RuntimeError"
assert "not found in remote repositories" in found[503][1]
assert found[503][2] == 1
PYTHON
