"""The models that decide: loaded and used once before a request waits for them, and switched when
the alias moves, without a request noticing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from feldspar.compute.scoring import probabilities
from feldspar.compute.trees import compiled
from feldspar.errors import FeldsparError, StoreError
from feldspar.graph.graph import Graph, Model
from feldspar.stores.experiments import Champion, Experiments

SECONDS_BETWEEN_LOOKS = 2.0
_LOG = logging.getLogger(__name__)


class Champions:
    """The champion of each model of a project.

    Args:
        graph: names the models.
        experiments: holds them.
    """

    def __init__(self, graph: Graph, experiments: Experiments) -> None:
        self._graph = graph
        self._experiments = experiments
        self._loaded: Mapping[str, Champion] = MappingProxyType({})
        self._problems: dict[str, str] = {}
        self._ended = threading.Event()
        self._follower: threading.Thread | None = None

    def get(self, model: str) -> Champion | None:
        """The champion that answers now; None where there is none yet."""
        return self._loaded.get(model)

    def versions(self) -> dict[str, str | None]:
        """Model to the version that decides; None where none is loaded."""
        loaded = self._loaded
        return {
            name: loaded[name].version if name in loaded else None for name in self._graph.models
        }

    def problems(self) -> dict[str, str]:
        """Model to why its newest champion is not the one that answers."""
        return dict(self._problems)

    def refresh(self) -> None:
        """Loads every champion that is not the one that answers.

        Raises:
            StoreError: MLflow does not answer, or a champion does not fit its service.
        """
        for name in self._graph.models:
            version = self._experiments.champion_version(name)
            current = self._loaded.get(name)
            if version is not None and (current is None or current.version != version):
                self._switch(name)

    def follow(self) -> None:
        """Looks every few seconds, in a thread of its own, until ``close``."""
        self._follower = threading.Thread(target=self._follow, name="champions", daemon=True)
        self._follower.start()

    def close(self) -> None:
        """Ends the thread; a look that is under way is not waited for longer than it may take."""
        self._ended.set()

    def _follow(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            try:
                self.refresh()
                self._problems.clear()
            except FeldsparError as error:
                self._tell(error)

    def _tell(self, error: FeldsparError) -> None:
        """Says a new problem once: the champions that answer go on meanwhile."""
        for name in self._graph.models:
            if self._problems.get(name) != error.message:
                self._problems[name] = error.message
                _LOG.warning("champion of %s: %s", name, error.message)

    def _switch(self, name: str) -> None:
        found = self._experiments.champion(name)
        if found is None:
            return
        _check_inputs(self._graph.model(name), found)
        ready = replace(found, estimator=compiled(found.estimator))
        probabilities(ready.estimator, np.full((1, len(found.inputs)), np.nan))
        # one assignment: a request sees the old one or the new one
        self._loaded = MappingProxyType({**self._loaded, name: ready})


def _check_inputs(model: Model, champion: Champion) -> None:
    known = {one.name for one in model.service.outputs}
    lacks = [name for name in champion.inputs if name not in known]
    if lacks:
        raise StoreError(
            f"champion {champion.version} of model {model.name} reads {lacks[0]!r}, "
            f"which service {model.service.name} no longer has",
            hint="train anew: feldspar apply",
        )
