#!/bin/sh
# What the official Postgres image does before it starts the server: makes the database once, on an empty folder; must do nothing to one that is there.
set -eu
if [ "${1:-}" != postgres ] || [ -s "$PGDATA/PG_VERSION" ]; then exec "$@"; fi
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
mkdir -p "$PGDATA"
chmod 700 "$PGDATA"
# shellcheck disable=SC2086
initdb --username="$user" --pwfile="$POSTGRES_PASSWORD_FILE" --set=listen_addresses='*' \
  --set=unix_socket_directories=/var/run/postgresql ${POSTGRES_INITDB_ARGS:-} >/dev/null
printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
pg_ctl --silent --wait --options="-c listen_addresses=''" start >/dev/null
run() { psql --host=/var/run/postgresql --username="$user" --no-psqlrc --no-password --quiet --set=ON_ERROR_STOP=1 --dbname="$@"; }
if [ "$database" != postgres ]; then run postgres --command="CREATE DATABASE \"$database\""; fi
for file in /docker-entrypoint-initdb.d/*; do
  case $file in
    *.sh) . "$file" ;;
    *.sql) run "$database" --file="$file" ;;
  esac
done
pg_ctl --silent --wait --mode=fast stop >/dev/null
exec "$@"
