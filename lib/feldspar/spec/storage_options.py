"""The one ``storage`` block in the words of each engine that reads and writes there.

Pure functions of the block; who opens a connection with them is in ``run`` and ``stores``.
"""

from __future__ import annotations

from feldspar.spec.environment import StorageSpec

_FLAG = {True: "true", False: "false"}
_PROVIDERS = "org.apache.hadoop.fs.s3a"
# The SDK's chain: variables, profile files, web identity, container and instance roles;
# the same order as boto3, so that all engines act as one principal.
_CHAIN = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"

# Hadoop's defaults hang for ten minutes and more on a server that is down. These keep some
# twenty tries for faults that pass (5 % of faulty calls is nothing to them), and give up on a
# dead server within half a minute. A probe finds a wrong address before Spark starts.
_PATIENCE = {
    "fs.s3a.attempts.maximum": "4",
    "fs.s3a.retry.limit": "4",
    "fs.s3a.retry.interval": "250ms",
    "fs.s3a.retry.throttle.limit": "12",
    "fs.s3a.retry.throttle.interval": "250ms",
    "fs.s3a.connection.establish.timeout": "15s",
    "fs.s3a.connection.timeout": "30s",
    "fs.s3a.connection.request.timeout": "60s",
    "fs.s3a.connection.acquisition.timeout": "30s",
    "fs.s3a.connection.maximum": "96",
}


def fs_s3a_conf(storage: StorageSpec) -> dict[str, str]:
    """All ``fs.s3a.*`` keys of Hadoop's S3 client; empty for a local folder.

    Spark wants each with ``spark.hadoop.`` before it.
    """
    if not storage.on_s3:
        return {}
    conf = {
        "fs.s3.impl": f"{_PROVIDERS}.S3AFileSystem",
        "fs.s3a.path.style.access": _FLAG[path_style(storage)],
        "fs.s3a.aws.credentials.provider": _CHAIN,
        "fs.s3a.fast.upload.buffer": "bytebuffer",
        **_PATIENCE,
    }
    if storage.endpoint:
        conf["fs.s3a.endpoint"] = storage.endpoint
        conf["fs.s3a.connection.ssl.enabled"] = _FLAG[storage.endpoint.startswith("https://")]
    if region(storage):
        conf["fs.s3a.endpoint.region"] = region(storage)
    return {**conf, **_keys(storage)}


def delta_storage_options(storage: StorageSpec) -> dict[str, str]:
    """What delta-rs takes as ``storage_options``; empty for a local folder."""
    if not storage.on_s3:
        return {}
    options = {
        "aws_virtual_hosted_style_request": _FLAG[not path_style(storage)],
        "aws_conditional_put": "etag",
        "connect_timeout": "5s",
        "timeout": "60s",
        "max_retries": "5",
        "retry_timeout": "20s",
    }
    named = {
        "aws_endpoint": storage.endpoint,
        "aws_region": region(storage),
        "aws_access_key_id": storage.access_key,
        "aws_secret_access_key": storage.secret_key,
        "aws_session_token": storage.session_token,
    }
    if storage.endpoint and storage.endpoint.startswith("http://"):
        options["aws_allow_http"] = "true"
    return {**options, **{key: value for key, value in named.items() if value}}


def path_style(storage: StorageSpec) -> bool:
    """Whether the bucket stands in the path, as servers without wildcard DNS need it."""
    return bool(storage.endpoint) if storage.path_style is None else storage.path_style


def region(storage: StorageSpec) -> str:
    """The region to sign for; servers of one's own take any, AWS finds its own if none is said."""
    return storage.region or ("us-east-1" if storage.endpoint else "")


def _keys(storage: StorageSpec) -> dict[str, str]:
    if storage.access_key is None or storage.secret_key is None:
        return {}
    keys = {"fs.s3a.access.key": storage.access_key, "fs.s3a.secret.key": storage.secret_key}
    if storage.session_token is None:
        keys["fs.s3a.aws.credentials.provider"] = f"{_PROVIDERS}.SimpleAWSCredentialsProvider"
        return keys
    keys["fs.s3a.aws.credentials.provider"] = f"{_PROVIDERS}.TemporaryAWSCredentialsProvider"
    return {**keys, "fs.s3a.session.token": storage.session_token}
