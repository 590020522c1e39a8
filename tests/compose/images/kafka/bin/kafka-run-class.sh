#!/bin/bash
# Runs a class of Kafka's, with the variables that Kafka's own script takes.
# shellcheck disable=SC2086 - options are words
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_JVM_PERFORMANCE_OPTS:--server -XX:+UseG1GC} \
  ${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=${KAFKA_HOME:-/opt/kafka}/config/log4j2.properties} \
  ${KAFKA_JMX_OPTS:-} ${KAFKA_OPTS:-} -cp "${KAFKA_HOME:-/opt/kafka}/libs/*" "$@"
