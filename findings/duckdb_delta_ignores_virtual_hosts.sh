#!/bin/sh
# DuckDB: a secret with `url_style 'vhost'` and an endpoint of one's own, for a Delta table.
#
# One would guess: the secret holds for all reads of the bucket, so that the table's log, too, is
# asked of `bucket.endpoint`, as any other file is.
# Seen: for a plain file the bucket is in front of the host; the log of a Delta table is asked of the
# endpoint itself, with neither host nor path naming the bucket. No store can answer both, so that
# with virtual hosts and a store of one's own no Delta table is found, and none is created either.
# With: DuckDB 1.5.5, its extensions httpfs and delta of the same version.
. "$(dirname "$0")/common.sh"
install_packages duckdb==1.5.5 duckdb-extensions==1.5.5 \
  duckdb-extension-httpfs==1.5.5 duckdb-extension-delta==1.5.5
"$python" - <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

import duckdb

asked = []


class Store(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append((self.headers["Host"].partition(":")[0], self.path.partition("?")[0]))
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = duckdb.connect()
    for extension in ("httpfs", "delta"):
        found = resources.files(f"duckdb_extension_{extension}") / "extensions"
        connection.execute(f"load '{found / f'v{duckdb.__version__}' / extension}.duckdb_extension'")
    connection.execute(
        "create secret (type s3, key_id 'a', secret 'b', region 'eu-west-3', use_ssl false, "
        f"url_style 'vhost', endpoint '127.0.0.1:{server.server_port}')"
    )

    def error_of(query):
        try:
            connection.execute(query)
        except duckdb.Error as error:
            return str(error)

    of_file = error_of("from read_parquet('s3://lake/sales/a.parquet')")
    assert not asked
    of_table = error_of("from delta_scan('s3://lake/sales')")
    server.shutdown()

print("DuckDB", duckdb.__version__)
print("a file:", of_file.splitlines()[0])
print("a table:", asked[0])
assert "lake.127.0.0.1" in of_file
assert {host for host, _ in asked} == {"127.0.0.1"}
assert not any("lake" in path for _, path in asked)
PYTHON
