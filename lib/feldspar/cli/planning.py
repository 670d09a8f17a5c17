"""Makes the plan without Spark: ``plan`` shows it, ``apply`` sees in it if Spark is needed."""

from __future__ import annotations

from feldspar.cli.project import Project
from feldspar.graph.plan import plan
from feldspar.graph.steps import Plan
from feldspar.stores.deployed import observe
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore


def make_plan(project: Project, *, accept: bool) -> Plan:
    """The steps that take what is deployed to what conf/ says.

    Raises:
        UnreachableError: a server does not answer.
    """
    graph, environment = project.graph(), project.environment()
    store, experiments = OnlineStore.of(environment), Experiments.of(environment)
    observed = observe(graph, environment, store=store, experiments=experiments)
    return plan(graph, observed, accept=accept)
