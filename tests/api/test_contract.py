"""The OpenAPI document is held to what the endpoint does, by schemathesis: bounded, the same cases every time."""

from typing import Any, cast

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import Endpoint

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDED = settings(
    max_examples=10, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def test_every_operation_keeps_to_its_contract_whatever_is_sent(endpoint: Endpoint, openai_server) -> None:
    schema = schemathesis.openapi.from_url(f"{endpoint.url}/v1/openapi.json")
    schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
    tried = set()
    for found in schema.get_all_operations():
        operation = cast("Any", found).ok()
        tried.add(operation.label)

        @BOUNDED
        @schemathesis_given(operation)
        def holds(case) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {endpoint.key}"}
            case.call_and_validate(checks=CHECKS, timeout=60)

        holds()
    assert tried == {
        "GET /v1/models", "POST /v1/route", "POST /v1/feedback", "POST /v1/chat/completions", "GET /healthz",
        "GET /metrics",
    }  # fmt: skip


def schemathesis_given(operation):
    """Cases of one operation."""
    from hypothesis import given

    return given(case=operation.as_strategy())
