#!/bin/sh
# Runs a program that Compose or Kubernetes restarts whenever it ends. Exit status 3 means that
# manual action is needed: a restart would not help and would rebalance the consumer group. Then this
# script sleeps, and the container is unhealthy, since nothing answers at the program's port.
is_stopped=
child=
trap 'is_stopped=1; kill -TERM "$child" 2>/dev/null' TERM INT

python -P -m cli "$@" &
child=$!
# A signal ends `wait`, not the program; one that arrived before the fork has to be forwarded.
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

echo "Not restarted: manual action is needed; then run: docker compose restart SERVICE," \
    "or kubectl rollout restart deployment/SERVICE" >&2
# Short sleeps, so that a signal is noticed without having to kill a long one.
child=
while [ -z "$is_stopped" ]; do
    sleep 2 &
    wait "$!"
done
exit 3
