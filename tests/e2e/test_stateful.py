"""Requests made up from the OpenAPI document, each going on from the answers before it: against the whole system, no 5xx."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.e2e.conftest import Dial
from tests.e2e.system import KEYS, Switchroom

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
# Each walk has a seed of its own, and is compared with none but the shortest that there is: what a request is answered
# depends on those before it, and on how long they are ago, which Hypothesis takes for a fault of the test.
WALKS = 40
SETTINGS = hypothesis.settings(
    max_examples=2,
    stateful_step_count=12,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.mark.timeout(180)
def test_walks_through_the_api(room_service: Switchroom, dial: Dial) -> None:
    dial("beta")
    # Enough of them that walks, which delete some, find others.
    for number in range(50):
        room_service.post("/api/v1/conferences", {"name": f"walked-{number}"}, app="beta")
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{room_service.port}/openapi.json")
    schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
    seen: Counter[tuple[str, int]] = Counter()

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"X-App-ID": "beta", "X-API-Key": KEYS["beta"]}, "timeout": 10}

        def before_call(self, case: Any) -> None:
            # Listings that are narrowed at random list nothing to go on from.
            case.query = {name: value for name, value in (case.query or {}).items() if name in ("limit", "cursor")}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            seen[case.operation.label, response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

    for number in range(WALKS):
        run_state_machine_as_test(hypothesis.seed(number)(Walk), settings=SETTINGS)
    # The walks must have got somewhere: what one answer named was found by the next request.
    assert seen["GET /api/v1/conferences/{room_id}", 200], seen.most_common()
    assert seen["GET /api/v1/sessions/{uuid}", 200], seen.most_common()
    assert not [one for one in seen if one[1] >= 500], seen
