#!/bin/bash
# The worker's settings from the variables, in the places that the image gives them.
set -eu
[ "${1:-}" = start ] || exec "$@"
address=$(hostname -i | cut -d' ' -f1)
config=/kafka/config/connect-distributed.properties

give() { # PROPERTY VARIABLE DEFAULT: unless CONNECT_ says it, from VARIABLE
  local own=CONNECT_${1^^}
  own=${own//./_}
  if [ -z "${!own:-}" ]; then export "$own=${!2:-$3}"; fi
}
give bootstrap.servers BOOTSTRAP_SERVERS 0.0.0.0:9092
give group.id GROUP_ID 1
give rest.port REST_PORT 8083
give rest.host.name REST_HOST_NAME "$address"
give rest.advertised.port ADVERTISED_PORT 8083
give rest.advertised.host.name ADVERTISED_HOST_NAME "$address"
give key.converter KEY_CONVERTER org.apache.kafka.connect.json.JsonConverter
give value.converter VALUE_CONVERTER org.apache.kafka.connect.json.JsonConverter
give offset.flush.interval.ms OFFSET_FLUSH_INTERVAL_MS 60000
give offset.flush.timeout.ms OFFSET_FLUSH_TIMEOUT_MS 5000
give task.shutdown.graceful.timeout.ms SHUTDOWN_TIMEOUT 10000
give config.storage.topic CONFIG_STORAGE_TOPIC ''
give offset.storage.topic OFFSET_STORAGE_TOPIC ''
give status.storage.topic STATUS_STORAGE_TOPIC connect-status
give plugin.path KAFKA_CONNECT_PLUGINS_DIR /kafka/connect
for needed in CONNECT_CONFIG_STORAGE_TOPIC CONNECT_OFFSET_STORAGE_TOPIC; do
  [ -n "${!needed}" ] || { echo "${needed#CONNECT_} must be set" >&2; exit 1; }
done

cp -n /kafka/config.orig/* /kafka/config/
touch "$config"
env | grep '^CONNECT_' | grep -v '^CONNECT_LOG4J' | while IFS='=' read -r name value; do
  key=${name#CONNECT_}
  key=${key,,}
  sed -i "/^${key//_/.}=/d" "$config"
  printf '%s=%s\n' "${key//_/.}" "$value" >>"$config"
done
export KAFKA_HEAP_OPTS=${HEAP_OPTS:--Xms1G -Xmx1G}
export KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/kafka/config/log4j2.properties
exec /kafka/bin/kafka-run-class.sh org.apache.kafka.connect.cli.ConnectDistributed "$config"
