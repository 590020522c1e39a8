#!/bin/sh
# Runs a program of ours that Compose starts again whenever it ends. Where its exit status (3) says
# that a person has to act, the same again does not help, and each start would disturb its group:
# then this rests, and the container is unhealthy, since nothing answers at the program's port.
is_stopped=
child=
trap 'is_stopped=1; kill -TERM "$child" 2>/dev/null' TERM INT

python -P -m cli "$@" &
child=$!
# A signal ends the wait, not the program; one that came before has reached nobody.
[ -z "$is_stopped" ] || kill -TERM "$child"
wait "$child"
status=$?
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
done
if [ "$status" -ne 3 ] || [ -n "$is_stopped" ]; then
    exit "$status"
fi

echo "This is not started again before a person has acted; then: docker compose restart SERVICE" >&2
# One long sleep would have to be ended, and may not hear it before it has begun.
child=
while [ -z "$is_stopped" ]; do
    sleep 2 &
    wait "$!"
done
exit 3
