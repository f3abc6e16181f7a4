"""The service answers as its OpenAPI document says, whatever is sent: every status and body of random requests is one
that is written there; clients are generated from that document, so a silent difference breaks them."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")

KEY = "a-key-of-this-test"


@pytest.fixture(scope="module")
def document(make: Any) -> dict:
    with make.client(make.open_guard) as client:
        return client.get("/openapi.json").json()


def test_the_ways_are_those_of_the_documentation(document: dict) -> None:
    assert set(document["paths"]) == {
        "/v1/check",
        "/v1/batch",
        "/v1/check-video",
        "/v1/model",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    for path in ("/v1/check", "/v1/check-video"):  # no declared type counts
        assert set(document["paths"][path]["post"]["requestBody"]["content"]) == {"application/octet-stream"}


def test_a_batch_is_as_long_in_the_document_as_on_this_server(make: Any) -> None:
    from despoof.service.config import ServiceConfig

    found = []
    for most in (3, 5):
        with make.client(make.open_guard, config=ServiceConfig(max_images=most)) as client:
            body = client.get("/openapi.json").json()["paths"]["/v1/batch"]["post"]["requestBody"]
            found.append(body["content"]["application/json"]["schema"]["properties"]["images"]["maxItems"])
            assert client.post("/v1/batch", json={"images": [""] * (most + 1)}).status_code == 413
            assert client.post("/v1/batch", json={"images": [""] * most}).status_code == 200
    assert found == [3, 5]


def test_the_contract_is_in_the_document(document: dict) -> None:
    answer = document["components"]["schemas"]["CheckResponse"]
    assert {"decision", "liveness", "reasons", "request_id", "model", "profile"} <= set(answer["required"])
    assert document["components"]["schemas"]["Decision"]["enum"] == ["LIVE", "ATTACK", "UNCERTAIN", "NO_DECISION"]
    assert "higher is more live" in answer["properties"]["liveness"]["description"]


@pytest.mark.parametrize("path", ["/v1/check", "/v1/batch", "/v1/check-video"])
def test_every_refusal_is_in_the_document(document: dict, path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]
    video = {"501"} if path == "/v1/check-video" else set()
    assert set(responses) == {"200", *map(str, (400, 401, 403, 408, 413, 415, 422, 429, 431, 503))} | video
    for status in set(responses) - {"200"}:
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorResponse"}


WAYS = {
    "GET /healthz": {200}, "GET /readyz": {200}, "GET /metrics": {200}, "GET /v1/model": {200},
    "POST /v1/check": {200, 422}, "POST /v1/check-video": {415},
    "POST /v1/batch": {200, 422},
}  # fmt: skip


@pytest.fixture(scope="module")
def opened(make: Any) -> Iterator[Any]:
    with make.client(make.open_guard, headers={"authorization": f"Bearer {KEY}"}, keys=[KEY]) as client:
        yield client


@pytest.mark.parametrize("way", WAYS)
def test_random_requests_are_answered_as_documented(opened: Any, way: str) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    schema = schemathesis.openapi.from_dict(opened.get("/openapi.json").json())
    operations = {found.ok().label: found.ok() for found in schema.get_all_operations()}
    assert set(operations) == set(WAYS)
    modes = st.sampled_from(list(schemathesis.GenerationMode))  # as described, and just not as described
    statuses = set()

    @seed(0)
    @settings(
        max_examples=40 if "POST" in way else 5, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def every_answer_is_documented(data: st.DataObject) -> None:
        mode = data.draw(modes)
        case = data.draw(operations[way].as_strategy(generation_mode=mode))
        response = send(opened, case)
        statuses.add(response.status_code)
        assert response.status_code < 500
        if way == "POST /v1/batch" and mode is schemathesis.GenerationMode.POSITIVE:
            assert response.status_code == 200, "a batch as it is described is refused"
        written = operations[way].responses.find_by_status_code(response.status_code)
        assert written is not None, f"{way} answered {response.status_code}, which is not in the document"
        operations[way].validate_response(schemathesis.Response.from_any(response))

    every_answer_is_documented()
    assert statuses >= WAYS[way]


def send(client: Any, case: Any) -> Any:
    sent = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
    params = {name: str(value) for name, value in (sent.get("params") or {}).items()}
    body = {"json": sent["json"]} if "json" in sent else {"content": sent.get("data") or b""}
    return client.request(sent["method"], sent["url"], params=params, **body)
