"""A Kafka source in the words of each client that reads it: Spark's (Java), and the plain one (C).

Pure functions of the source; who connects with them is in ``ingest`` and ``stores``.
"""

from __future__ import annotations

from feldspar.spec.source import KafkaSecurity, KafkaSource

_MODULES = "org.apache.kafka.common.security"
COMMITTED = "read_committed"
"""What a transaction has written counts once it is committed, and never if it was aborted."""


def client_options(source: KafkaSource) -> dict[str, str]:
    """Settings of librdkafka."""
    security = source.security
    options = {"bootstrap.servers": source.servers}
    if security is None:
        return options
    named = {
        "security.protocol": security.protocol,
        "sasl.mechanism": security.mechanism,
        "sasl.username": security.user,
        "sasl.password": security.password,
        "ssl.ca.location": security.ca,
    }
    return {**options, **{key: value for key, value in named.items() if value}}


def spark_options(source: KafkaSource) -> dict[str, str]:
    """Options of Spark's reader, but for what is read."""
    options = {
        "kafka.bootstrap.servers": source.servers,
        "kafka.isolation.level": COMMITTED,
        "failOnDataLoss": "true",
    }
    security = source.security
    if security is None:
        return options
    options["kafka.security.protocol"] = security.protocol
    if security.mechanism:
        options["kafka.sasl.mechanism"] = security.mechanism
        options["kafka.sasl.jaas.config"] = _login(security)
    if security.ca:
        options["kafka.ssl.truststore.type"] = "PEM"
        options["kafka.ssl.truststore.location"] = security.ca
    return options


def _login(security: KafkaSecurity) -> str:
    """The line by which Java's client is told who reads."""
    plain = security.mechanism == "PLAIN"
    module = f"{_MODULES}.{'plain.Plain' if plain else 'scram.Scram'}LoginModule"
    user, password = _quoted(security.user), _quoted(security.password)
    return f"{module} required username={user} password={password};"


def _quoted(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
