"""What the server answers: pydantic models for OpenAPI, filled from what the backend found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feldspar.serving.backend import Scored, Served
from feldspar.times import from_micros


class Reply(BaseModel):
    """What every answer about an entity says; its keys stand beside these fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    service: str
    timestamp: datetime = Field(description="T: everything holds at this time")
    clock: Literal["wall", "data"] = Field(description="data: newest event, for replayed history")
    missing: list[str] = Field(description="features without a value")
    stale: list[str] = Field(description="those of them whose last value has outlived its ttl")
    feature_ages: dict[str, float | None] = Field(description="seconds by view; null: nothing")
    versions: dict[str, int] = Field(description="gold version that each view was pushed from")


class FeaturesReply(Reply):
    """Features by name, as models see them."""

    features: dict[str, Any]


class ScoreReply(Reply):
    """A champion's answer; a credit model also gives score and risk level."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "customer_id": 4711,
                    "credit_score": 742,
                    "risk_level": "LOW",
                    "confidence": 0.8041,
                    "probability": 0.8041,
                    "features_used": ["customer_features__income"],
                    "timestamp": "2024-05-20T12:00:00Z",
                    "model": "credit_scoring",
                    "model_version": "3",
                }
            ]
        },
    )

    model: str
    model_version: str
    probability: float = Field(description="of the model's label")
    confidence: float = Field(description="probability of the more likely class")
    credit_score: int | None = Field(default=None, description="300 to 850")
    risk_level: str | None = Field(default=None, description="LOW above 700, MEDIUM above 600")
    features_used: list[str]


class Health(BaseModel):
    """Whether requests can be answered, and with what."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "degraded", "unavailable"]
    environment: str
    namespace: str
    redis: str
    clock: datetime | None = Field(description="newest event pushed; wall clocks need none")
    models: dict[str, str | None] = Field(description="champion's version; null: none yet")
    views: dict[str, Literal["current", "other definition", "not pushed"]]


def features_reply(served: Served, clock: Literal["wall", "data"]) -> FeaturesReply:
    """The answer of /features."""
    features = {name: plain(value) for name, value in served.answer.features.items()}
    return FeaturesReply(**_head(served, clock), features=features)


def score_reply(scored: Scored, clock: Literal["wall", "data"]) -> ScoreReply:
    """The answer of /score."""
    return ScoreReply(
        **_head(scored.served, clock),
        **scored.answer,
        model=scored.model,
        model_version=scored.version,
        features_used=list(scored.inputs),
    )


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _head(served: Served, clock: str) -> dict[str, Any]:
    return {
        **served.question.keys,
        "service": served.question.service,
        "timestamp": from_micros(served.at),
        "clock": clock,
        "missing": list(served.answer.missing),
        "stale": list(served.answer.stale),
        "feature_ages": _seconds(served.answer.ages),
        "versions": dict(served.versions),
    }


def _seconds(ages: Mapping[str, timedelta | None]) -> dict[str, float | None]:
    return {name: None if age is None else age.total_seconds() for name, age in ages.items()}
