"""Makes a record of the served log from an answer: references only, columns come later."""

from __future__ import annotations

from feldspar.serving.backend import Scored, Served
from feldspar.serving.served import ServedRecord


def served_record(answered: Served | Scored, *, request_id: str, served_at: int) -> ServedRecord:
    """What is kept of an answer.

    Args:
        answered: features, or a score and the features that it was made from.
        request_id: of the request, or of its row where one request asks for several.
        served_at: wall clock, microseconds.
    """
    scored = answered if isinstance(answered, Scored) else None
    served = answered.served if isinstance(answered, Scored) else answered
    return ServedRecord(
        request_id=request_id,
        served_at=served_at,
        service=served.question.service,
        request=served.question.values,
        at=served.at,
        features=served.answer.features,
        newest=served.answer.newest,
        versions=served.versions,
        stamps=served.stamps,
        stale=served.answer.stale,
        model=None if scored is None else scored.model,
        model_version=None if scored is None else scored.version,
        answer=None if scored is None else scored.answer,
        degraded=served.degraded,
    )
