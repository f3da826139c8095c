"""For the operator: is the process alive, and can it serve?"""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from web import context, errors
from web.resource import Returned
from web.schemas import Alive, Ready

health = APIBlueprint("health", __name__, abp_tags=[Tag(name="health", description="Outside the API: no key needed.")])

_NOT_READY = "Not ready: the store must answer, and at least one media node be up"
_EXAMPLE = (503, "not_ready", errors.body(_NOT_READY, {"store": True, "nodes": {"acW68": False}}))


@health.get("/healthz", operation_id="healthz", responses={"200": Alive})
def healthz() -> Returned:
    """Whether the process answers."""
    return {"status": "ok"}, 200


@health.get("/readyz", operation_id="readyz", responses={"200": Ready, **errors.documented([_EXAMPLE])})
def readyz() -> Returned | Response:
    """Whether the store answers and at least one media node is up.

    The 503 has the same parts under `detail`."""
    found = context.controller().health()
    parts = {"store": bool(found["store"]), "nodes": dict(found["nodes"])}
    if parts["store"] and any(found["nodes"].values()):
        return {"status": "ready", **parts}, 200
    return errors.respond(503, errors.body(_NOT_READY, parts), {"Retry-After": str(errors.RETRY_AFTER)}, "not_ready")
