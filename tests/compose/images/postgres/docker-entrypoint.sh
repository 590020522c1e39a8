#!/bin/bash
# Makes the cluster once, with the password from a variable or a file, then runs the command.
set -eu

setting() { # NAME DEFAULT: the variable NAME, or the content of the file that NAME_FILE names
  local file_variable=$1_FILE
  if [ -n "${!1:-}" ]; then printf '%s' "${!1}"
  elif [ -n "${!file_variable:-}" ]; then cat "${!file_variable}"
  else printf '%s' "${2:-}"; fi
}

if [ "${1#-}" != "$1" ]; then set -- postgres "$@"; fi
# Where the image's Postgres, which is built otherwise, has it by itself.
sockets=-cunix_socket_directories=/var/run/postgresql

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  chown -R postgres:postgres "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=$(setting POSTGRES_USER postgres)
  password=$(setting POSTGRES_PASSWORD)
  database=$(setting POSTGRES_DB "$user")
  [ -n "$password" ] || { echo 'POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is needed' >&2; exit 1; }
  # shellcheck disable=SC2086 - arguments, as its description has them
  initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  pg_ctl --wait --silent start -o "$(printf '%q ' "${@:2}" "$sockets") -c listen_addresses=''"
  export PGPASSWORD=$password
  run() { psql -v ON_ERROR_STOP=1 --no-psqlrc --username="$user" "$@"; }
  [ "$database" = postgres ] ||
    run --dbname=postgres --set=db="$database" <<<'create database :"db";'
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) . "$file" ;;
      *.sql) run --dbname="$database" --file="$file" ;;
    esac
  done
  unset PGPASSWORD
  pg_ctl --wait --silent --mode=fast stop
fi

if [ "$1" = postgres ]; then set -- "$1" "$sockets" "${@:2}"; fi
exec "$@"
