"""What the server answers: pydantic models for OpenAPI, filled from what the backend found."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feldspar.errors import FeldsparError
from feldspar.serving.backend import Scored, Served
from feldspar.serving.requests import Question
from feldspar.times import MICROS_A_SECOND, from_micros


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
    degraded: bool = Field(description="Redis was away: answered without what it stores")


class FeaturesReply(Reply):
    """Features by name, as models see them."""

    features: dict[str, Any]


class Several(BaseModel):
    """The answers to several rows of one request, in their order."""

    model_config = ConfigDict(frozen=True)

    answers: list[dict[str, Any]] = Field(
        description="each as if it were asked alone, or its keys and the error"
    )


class Reasoned(BaseModel):
    """One feature that moved a score."""

    model_config = ConfigDict(frozen=True)

    feature: str
    value: float
    moved: float = Field(description="probability less what it would be if this were unknown")
    text: str


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
    reasons: list[Reasoned] | None = Field(default=None, description="where they were asked for")


class Standing(BaseModel):
    """Whether requests can be answered."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "degraded", "unavailable"]


class Health(Standing):
    """Whether requests can be answered, and with what."""

    environment: str
    namespace: str
    redis: str
    clock: datetime | None = Field(description="newest event pushed; wall clocks need none")
    models: dict[str, str | None] = Field(description="champion's version; null: none yet")
    problems: dict[str, str] = Field(description="why a newer champion does not answer")
    views: dict[str, Literal["current", "other definition", "not pushed"]]


class Readiness(BaseModel):
    """Whether requests should be sent here."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    models_absent: list[str] = Field(
        default_factory=list, description="for callers who say who they are"
    )


class ServiceInfo(BaseModel):
    """A service that can be asked."""

    model_config = ConfigDict(frozen=True)

    entities: list[str]
    keys: list[str]
    event: str | None = Field(description="table whose row is the request; null: asked by keys")
    fallback: str | None
    features: dict[str, str] = Field(description="name to type")


class ViewInfo(BaseModel):
    """A view, and how fresh Redis is of it."""

    model_config = ConfigDict(frozen=True)

    entity: str
    keys: list[str]
    kind: Literal["plain", "windowed"]
    ttl: str | None
    freshness: str | None = Field(description="how old the newest event may be")
    features: dict[str, str]
    pushed_version: int | None = Field(default=None, description="of gold; absent: not pushed")
    pushed_at: datetime | None = None
    age_seconds: float | None = Field(default=None, description="since the clock of that push")


class Catalogue(BaseModel):
    """What there is to ask for."""

    model_config = ConfigDict(frozen=True)

    redis: str
    services: dict[str, ServiceInfo]
    views: dict[str, ViewInfo]


class Refusal(BaseModel):
    """Why a request got no answer."""

    model_config = ConfigDict(frozen=True)

    detail: str
    hint: str | None = None
    errors: list[dict[str, str]] | None = Field(
        default=None, description="of a body that is not as described: where and what"
    )


def features_reply(served: Served, clock: str) -> dict[str, Any]:
    """The fields of ``FeaturesReply``."""
    return {**_head(served, clock), "features": served.answer.features}


def score_reply(scored: Scored, clock: str) -> dict[str, Any]:
    """The fields of ``ScoreReply``."""
    reply = {
        **_head(scored.served, clock),
        **scored.answer,
        "model": scored.model,
        "model_version": scored.version,
        "features_used": scored.inputs,
    }
    if scored.reasons:
        reply["reasons"] = [{**asdict(one), "text": one.text} for one in scored.reasons]
    return reply


def refused_reply(question: Question, error: FeldsparError) -> dict[str, Any]:
    """What stands for one answer of several that could not be given."""
    return {**question.keys, "error": error.message, **({"hint": error.hint} if error.hint else {})}


def _head(served: Served, clock: str) -> dict[str, Any]:
    answer = served.answer
    return {
        **served.question.keys,
        "service": served.question.service,
        "timestamp": from_micros(served.at),
        "clock": clock,
        "missing": answer.missing,
        "stale": answer.stale,
        "feature_ages": {
            name: None if one is None else (answer.t - one) / MICROS_A_SECOND
            for name, one in answer.newest.items()
        },
        "versions": served.versions,
        "degraded": served.degraded,
    }
