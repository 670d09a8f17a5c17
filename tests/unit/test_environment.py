"""Environment files: variables, the stack's values, secrets, and what each engine is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feldspar.errors import DefinitionError, UsageError
from feldspar.spec.environment import STATE_FILE, Environment, load_environment, load_stack
from feldspar.spec.storage_options import delta_storage_options, fs_s3a_conf
from support.places import new_project

VALUES = {
    "s3.endpoint": "http://127.0.0.1:9",
    "s3.access_key": "stack-access",
    "s3.secret_key": "stack-secret",
    "redis.url": "redis://127.0.0.1:8/0",
    "mlflow.tracking_uri": "http://127.0.0.1:7",
}
SMALL = """namespace: dev
storage: {root: lake}
redis: {url: 'redis://127.0.0.1:6379/0'}
mlflow: {tracking_uri: 'sqlite:///x.db'}
"""


def write_environment(folder: Path, text: str) -> Path:
    file = folder / "conf" / "environments" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return folder / "conf"


def write_values(folder: Path, values: dict[str, str]) -> None:
    file = folder / STATE_FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"values": values}), encoding="utf-8")


def load(folder: Path, text: str, variables: dict[str, str]) -> Environment:
    return load_environment(write_environment(folder, text), "mine", variables)


def test_local_environment_takes_its_addresses_from_the_running_stack(tmp_path: Path) -> None:
    conf = new_project(tmp_path)
    write_values(tmp_path, VALUES)
    environment = load_environment(conf, "local", {})
    assert environment.storage.endpoint == "http://127.0.0.1:9"
    assert environment.storage.secret_key == "stack-secret"
    assert environment.redis.url == "redis://127.0.0.1:8/0"


def test_local_environment_without_a_stack_says_make_up(tmp_path: Path) -> None:
    conf = new_project(tmp_path)
    with pytest.raises(UsageError, match=r"the local stack, which is not running\n  make up"):
        load_environment(conf, "local", {})


def test_stack_ports_can_be_read_before_the_stack_runs(tmp_path: Path) -> None:
    stack = load_stack(new_project(tmp_path), "local", {"FELDSPAR_S3_PORT": "9001"})
    assert stack is not None
    assert (stack.s3_port, stack.redis_port) == (9001, 0)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_cloud_templates_load_with_their_variables(tmp_path: Path, name: str) -> None:
    variables = {
        "AWS_REGION": "eu-west-1",
        f"FELDSPAR_{name.upper()}_BUCKET": "company-lake",
        f"FELDSPAR_{name.upper()}_REDIS_URL": "rediss://user:pass@cache:6379/0",
        f"FELDSPAR_{name.upper()}_MLFLOW_URI": "https://mlflow.company",
    }
    environment = load_environment(new_project(tmp_path), name, variables)
    assert environment.storage.root == "s3a://company-lake/feldspar"
    assert environment.storage.access_key is None


def test_variable_without_a_value_is_named_with_its_line(tmp_path: Path) -> None:
    text = SMALL.replace("root: lake", "root: 's3a://${MY_BUCKET}/x'")
    with pytest.raises(DefinitionError, match=r"mine\.yaml:2 .*MY_BUCKET is not set"):
        load(tmp_path, text, {})


def test_default_is_taken_where_a_variable_is_not_set(tmp_path: Path) -> None:
    text = SMALL.replace("namespace: dev", "namespace: ${WHO:-nobody}")
    assert load(tmp_path, text, {}).namespace == "nobody"


def test_namespace_variable_wins_over_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, {"FELDSPAR_NAMESPACE": "mine"}).namespace == "mine"


def test_local_root_is_made_absolute_from_the_project(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, {}).storage.root == str(tmp_path / "lake")


@pytest.mark.parametrize(
    "block",
    [
        "storage: {root: 's3a://b/x', access_key: AKIA123, secret_key: '${KEY}'}",
        "storage: {root: 's3a://b/x', access_key: '${ID}', secret_key: '${KEY:-hunter2}'}",
        "redis: {url: 'redis://:hunter2@host:6379/0'}",
        "spark: {conf: {spark.hadoop.fs.s3a.secret.key: hunter2}}",
        "mlflow: {tracking_uri: 'https://user:hunter2@host'}",
    ],
)
def test_secret_in_a_file_is_refused_and_not_repeated(tmp_path: Path, block: str) -> None:
    key = block.partition(":")[0]
    others = [line for line in SMALL.splitlines() if not line.startswith(f"{key}:")]
    with pytest.raises(DefinitionError, match="a secret is not written in a file") as caught:
        load(tmp_path, "\n".join([*others, block]), {"ID": "id", "KEY": "key"})
    assert "hunter2" not in str(caught.value)
    assert "AKIA123" not in str(caught.value)


def test_half_a_pair_of_keys_is_refused(tmp_path: Path) -> None:
    text = SMALL.replace("{root: lake}", "{root: 's3a://b/x', access_key: '${ID}'}")
    with pytest.raises(DefinitionError, match="set together or not at all"):
        load(tmp_path, text, {"ID": "id"})


def test_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"(?s)mine\.yaml:5 .*'clok'.*nearest: clock"):
        load(tmp_path, SMALL + "clok: wall\n", {})


def test_unknown_environment_is_refused_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)no environment 'loca'.*known: local"):
        load_environment(new_project(tmp_path), "loca", {})


def test_keys_are_not_shown_by_repr(tmp_path: Path) -> None:
    conf = new_project(tmp_path)
    write_values(tmp_path, VALUES)
    assert "stack-secret" not in repr(load_environment(conf, "local", {}))


def test_storage_block_makes_all_s3a_keys(tmp_path: Path) -> None:
    conf = new_project(tmp_path)
    write_values(tmp_path, VALUES)
    made = fs_s3a_conf(load_environment(conf, "local", {}).storage)
    expected = {
        "fs.s3a.endpoint": "http://127.0.0.1:9",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.access.key": "stack-access",
        "fs.s3a.secret.key": "stack-secret",
        "fs.s3a.endpoint.region": "us-east-1",
    }
    assert expected.items() <= made.items()
    assert made["fs.s3a.aws.credentials.provider"].endswith("SimpleAWSCredentialsProvider")


def test_without_keys_the_provider_chain_is_used(tmp_path: Path) -> None:
    text = SMALL.replace("{root: lake}", "{root: 's3a://b/x', region: eu-west-1}")
    storage = load(tmp_path, text, {}).storage
    assert fs_s3a_conf(storage)["fs.s3a.aws.credentials.provider"].endswith(
        "DefaultCredentialsProvider"
    )
    assert "aws_access_key_id" not in delta_storage_options(storage)
    assert delta_storage_options(storage)["aws_region"] == "eu-west-1"


def test_folder_needs_no_options(tmp_path: Path) -> None:
    storage = load(tmp_path, SMALL, {}).storage
    assert fs_s3a_conf(storage) == {}
    assert delta_storage_options(storage) == {}
