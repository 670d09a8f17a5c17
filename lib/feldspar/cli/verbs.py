"""The verbs of the console: the module in ``feldspar.cli`` of each, and what it does in a line."""

from __future__ import annotations

VERBS: dict[str, tuple[str, str]] = {
    "validate": ("validate", "check everything in conf/ that can be known without data"),
    "schema": ("schema", "write the JSON Schemas that editors check YAML with"),
    "plan": ("plan", "show the steps that take what is deployed to what conf/ says"),
    "apply": ("jobs", "carry out the plan in one Spark application"),
    "stream": ("jobs", "keep tables and Redis up to date, round after round"),
    "ingest": ("jobs", "new files to bronze tables"),
    "refine": ("jobs", "bronze to silver: type, check, de-duplicate"),
    "history": ("jobs", "silver to history: rows that hold now (SCD1), or held when (SCD2)"),
    "features": ("jobs", "silver to gold"),
    "quality": ("jobs", "hold finished tables against their expectations"),
    "train": ("jobs", "train, judge and promote the models that are due"),
    "online": ("jobs", "gold to Redis: push, rebuild, verify"),
    "training-set": ("jobs", "a service's features for the rows of a spine"),
    "training-set diff": ("jobs", "what changed between two training sets, and why"),
    "explain": ("explain", "how a training set would be made, and what it would read"),
    "score": ("jobs", "a service's scores for the rows of a spine"),
    "handbook": ("jobs", "the published model table beside ours"),
    "test": ("cases", "run the YAML cases beside the definitions, without a JVM"),
    "query": ("query", "SQL over any table, without a JVM"),
    "show": ("show", "list tables, views, entities, services, sources or models"),
    "registry": ("registry", "what the model registry holds"),
    "serve": ("serve", "answer /score and /features over HTTP"),
    "up": ("stack", "start the local S3, Redis and MLflow servers"),
    "down": ("stack", "stop the local servers that up started"),
    "status": ("stack", "show the local servers"),
    "doctor": ("stack", "check Java, jars, ports, servers and credentials"),
}
