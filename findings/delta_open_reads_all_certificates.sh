#!/bin/sh
# delta-rs: opening a table in an object store that is spoken to without TLS.
#
# One would guess: for an address of http:// no certificate is read; or at most once per process.
# Seen: each `DeltaTable(...)` makes a client of its own, which reads the system's certificates
# again. Of 140 certificates, that takes more CPU than all else of opening a small table. What lists
# or reads files by an opened table (`DeltaStorageHandler.from_table`) shares its client, and reads
# none.
# With: deltalake 1.6.6.
. "$(dirname "$0")/common.sh"
install_deltalake
mkfifo "$folder/certificates.pem"
SSL_CERT_FILE=$folder/certificates.pem SSL_CERT_DIR=/nowhere "$python" - "$folder" <<'PYTHON'
import os
import pathlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pyarrow
import pyarrow.fs
from deltalake import DeltaTable, write_deltalake
from deltalake.fs import DeltaStorageHandler

folder = pathlib.Path(sys.argv[1])
reads = 0


class Store(BaseHTTPRequestHandler):
    """As much of S3 as reading takes: the folder `lake` is a bucket."""

    def do_GET(self):
        asked = urlsplit(self.path)
        path, query = folder / asked.path.strip("/"), parse_qs(asked.query)
        if path.is_file():
            self.answer(path.read_bytes())
        elif "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            files = (one for one in (folder / "lake").rglob("*") if one.is_file())
            keys = sorted(one.relative_to(folder / "lake").as_posix() for one in files)
            listed = "".join(
                f"<Contents><Key>{key}</Key><Size>{(folder / 'lake' / key).stat().st_size}</Size>"
                "<LastModified>2026-11-29T00:00:00.000Z</LastModified></Contents>"
                for key in keys
                if key.startswith(prefix)
            )
            self.answer(f"<ListBucketResult>{listed}</ListBucketResult>".encode())
        else:
            self.send_error(404)

    def answer(self, content):
        self.send_response(200)
        for name, value in (("Content-Length", len(content)), ("ETag", '"1"')):
            self.send_header(name, str(value))
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def be_read():
    """Whoever opens the pipe to read it lets this side open it, too: that is one reading."""
    global reads
    while True:
        with (folder / "certificates.pem").open("w"):
            reads += 1
        time.sleep(0.05)  # the reader sees the end first


write_deltalake(folder / "lake" / "t", pyarrow.table({"id": [1]}))
server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
parent = os.getpid()
if os.fork() == 0:  # in this process, a listing would hold the lock that its answer needs
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)
threading.Thread(target=be_read, daemon=True).start()
options = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1",
}  # fmt: skip
for _ in range(5):
    table = DeltaTable("s3://lake/t", storage_options=options)
assert table.version() == 0
by_opening = reads
files = pyarrow.fs.PyFileSystem(DeltaStorageHandler.from_table(table._table))
assert files.get_file_info(pyarrow.fs.FileSelector("_delta_log"))
print("guess: the certificates are read 0 times, or once")
print(f"seen: {by_opening} times for 5 openings, {reads - by_opening} times for a listing")
assert by_opening >= 5
assert reads == by_opening
PYTHON
