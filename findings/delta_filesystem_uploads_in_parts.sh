#!/bin/sh
# delta-rs: a small file written through the file system that it gives to PyArrow.
#
# One would guess: a file of some kilobytes is sent in one PUT when it is closed, as clients of the
# store do that buffer what they are given.
# Seen: three requests, however small it is: a multipart upload is begun, gets one part, and is
# completed. Stores charge for each, and keep the parts of one that is not completed. Python's lock
# is held until each is answered, so no other thread of Python runs meanwhile.
# With: deltalake 1.6.6, pyarrow 26.0.1.
. "$(dirname "$0")/common.sh"
install_deltalake
cat >"$folder/store.py" <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEGUN = b"""<InitiateMultipartUploadResult>
<Bucket>lake</Bucket><Key>file</Key><UploadId>one</UploadId></InitiateMultipartUploadResult>"""
COMPLETED = b"""<CompleteMultipartUploadResult>
<Bucket>lake</Bucket><Key>file</Key><ETag>"whole"</ETag></CompleteMultipartUploadResult>"""


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, _, query = self.path.partition("?")
        parameters = sorted(one.partition("=")[0] for one in query.split("&") if one)
        print(self.command, *parameters, flush=True)
        body = b""
        if self.command == "POST":
            body = BEGUN if "uploads" in parameters else COMPLETED
        self.send_response(200)
        self.send_header("ETag", '"part"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
# The store is a process of its own: as a thread, it could not answer.
"$python" - "$folder/store.py" <<'PYTHON'
import subprocess
import sys

import pyarrow.fs
from deltalake.fs import DeltaStorageHandler

store = subprocess.Popen([sys.executable, sys.argv[1]], stdout=subprocess.PIPE, text=True)
options = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(store.stdout.readline())}",
    "AWS_ALLOW_HTTP": "true",
    "AWS_REGION": "eu-west-3",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
}
files = pyarrow.fs.PyFileSystem(DeltaStorageHandler("s3://lake/table", options))
try:
    with files.open_output_stream("part.parquet", buffer_size=8 * 1024 * 1024) as file:
        file.write(b"x" * 10_000)
finally:
    store.terminate()
asked = store.stdout.read().splitlines()
print("guess: ['PUT']")
print("seen: ", asked)
assert asked == ["POST uploads", "PUT partNumber uploadId", "POST uploadId"], asked
PYTHON
