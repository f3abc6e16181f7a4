"""The endpoints as a client meets them: the contract, every refusal with its status and without an inside, limits that
hold while a body arrives, nothing kept; a service that fails open or leaks is worse than none."""

import asyncio
import base64
import io
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")

from starlette.requests import Request

from despoof.errors import ArtefactError
from despoof.service.app import build_app
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError
from despoof.service.uploads import read_body
from despoof.verdict import Decision, Verdict

KEY = "a-key-of-this-test"


@pytest.fixture(scope="module")
def client(make: Any) -> Any:
    with make.client(make.open_guard, cards={"card": "Licence: research use only."}) as opened:
        yield opened


def stubbed(make: Any, judge: Any = None, **options: Any) -> Any:
    return make.client(lambda: make.stub(judge or (lambda data: make.verdict())), **options)


def small_png(size: tuple[int, int] = (64, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, 127).save(buffer, "PNG")
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(response: Any, status: int, name: str) -> None:
    """A typed refusal: nothing but id, name and sentence."""
    assert (response.status_code, response.json()["error"]) == (status, name)
    assert set(response.json()) == {"request_id", "error", "detail"}
    assert response.headers["x-request-id"] == response.json()["request_id"]


def test_a_check_follows_the_contract(client: Any, jpeg: bytes) -> None:
    answer = client.post("/v1/check", content=jpeg).json()
    assert answer["decision"] == "LIVE"  # the thresholds of this guard call all faces live
    assert 0 <= answer["liveness"] <= 1
    assert answer["reasons"] == []
    assert answer["pictures"] is None
    weights = {"detector": "0123456789ab"}
    assert answer["model"] == {"name": "default", "package": "0.1.0", "weights": weights, "engine": "torch"}
    assert (answer["profile"]["attack_below"], answer["profile"]["live_from"]) == (0, 0)
    assert {"decode image", "detect", "detector"} <= set(answer["milliseconds"])


def test_the_answer_is_that_of_the_library(client: Any, make: Any, jpeg: bytes) -> None:
    answer = client.post("/v1/check?explain=true", content=jpeg).json()
    verdict = make.open_guard().check(jpeg)
    assert answer["liveness"] == round(verdict.liveness, 3)
    face = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["pictures"]["face"]))), float)
    assert np.abs(face - (verdict.face.transpose(1, 2, 0) + 1) * 127.5).max() <= 0.51


def test_no_face_is_no_decision_with_value_and_limit(client: Any) -> None:
    answer = client.post("/v1/check", content=small_png()).json()
    assert (answer["decision"], answer["liveness"]) == ("NO_DECISION", None)
    assert answer["reasons"][0] | {"sentence": ""} == {"name": "no_face", "value": 0, "limit": 1, "sentence": ""}


def test_a_truncated_photo_is_no_decision(client: Any, jpeg: bytes) -> None:
    answer = client.post("/v1/check", content=jpeg[: len(jpeg) // 2]).json()
    assert (answer["decision"], answer["reasons"][0]["name"]) == ("NO_DECISION", "unreadable")


def test_a_batch_keeps_order_and_one_bad_image_hurts_no_other(client: Any, jpeg: bytes) -> None:
    images = [base64_of(jpeg), "no base64!", base64_of(b"text"), base64_of(small_png()), "", base64_of(jpeg)]
    results = client.post("/v1/batch", json={"images": images}).json()["results"]
    assert [result["decision"] for result in results] == ["LIVE", *["NO_DECISION"] * 4, "LIVE"]
    names = [result["reasons"][0]["name"] for result in results[1:5]]
    assert names == ["not_an_image", "not_an_image", "no_face", "not_an_image"]
    assert results[0]["liveness"] == results[5]["liveness"]


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 400, "empty_body"), (b"[]", 422, "not_as_described"), (b"{", 422, "not_as_described"),
        (b'{"images": []}', 422, "not_as_described"), (b'{"images": "x"}', 422, "not_as_described"),
        (b'{"images": [1]}', 422, "not_as_described"), (b'{"images": ["a"], "url": "x"}', 422, "not_as_described"),
        (b"[" * 100_000, 422, "not_as_described"), (b'{"images": ["\xff"]}', 422, "not_as_described"),
        (json.dumps({"images": ["AAAA"] * 9}).encode(), 413, "too_many_images"),
    ],
)  # fmt: skip
def test_bad_batches_are_refused(client: Any, body: bytes, status: int, name: str) -> None:
    refused(client.post("/v1/batch", content=body), status, name)


@pytest.mark.parametrize(
    "body",
    [b"hello", b"http://a.example/a.jpg", b"file:///etc/passwd", b"<svg/>", b"GIF89a" + bytes(50), b"%PDF-1.7", b"{}"],
)
def test_only_contents_on_the_list_are_decoded(client: Any, body: bytes) -> None:
    for declared in ("image/jpeg", "image/png", "text/plain", "multipart/form-data; boundary=x"):
        refused(client.post("/v1/check", content=body, headers={"content-type": declared}), 415, "not_an_image")


def test_other_refusals(client: Any) -> None:
    refused(client.post("/v1/check"), 400, "empty_body")
    refused(client.get("/v1/check"), 405, "wrong_method")
    refused(client.get("/no-such-way"), 404, "not_found")
    refused(client.get("/docs"), 404, "not_found")
    refused(client.get("/healthz/", follow_redirects=False), 404, "not_found")
    refused(client.post("/v1/check?explain=perhaps", content=b"x"), 422, "not_as_described")
    refused(client.post("/v1/check", content=b"x", headers={"content-encoding": "gzip"}), 415, "compressed_body")
    refused(client.post("/v1/check", content=b"x", headers={"origin": "https://evil.example"}), 403, "other_origin")


def test_a_name_in_a_batch_is_not_sent_back(client: Any, jpeg: bytes) -> None:
    for body in ({base64_of(jpeg): 1}, {"images": [{base64_of(jpeg): 1}]}, {"images": [""], base64_of(jpeg): ""}):
        response = client.post("/v1/batch", json=body)
        refused(response, 422, "not_as_described")
        assert len(response.content) < 300


def test_head_is_answered_as_get(client: Any) -> None:
    for path, status in (("/", 200), ("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/none", 404)):
        assert client.head(path).status_code == client.get(path).status_code == status
    assert client.head("/v1/check").status_code == 405


def test_large_headers_are_refused(client: Any) -> None:
    assert client.get("/healthz", headers={"x-large": "x" * 15_000}).status_code == 200
    refused(client.get("/healthz", headers={"x-large": "x" * 17_000}), 431, "large_headers")
    refused(client.get("/healthz?" + "x" * 17_000), 431, "large_headers")


def test_two_lengths_are_refused(client: Any) -> None:
    headers = {"content-length": "4", "transfer-encoding": "chunked"}
    refused(client.post("/v1/check", content=iter([b"abcd"]), headers=headers), 400, "two_lengths")


def test_clips_without_pyav_are_501_and_name_the_extra(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with stubbed(make) as client:
        response = client.post("/v1/check-video", content=b"\0\0\0\x18ftypisom" + bytes(64))
        refused(response, 501, "no_video")
        assert "despoof[video]" in response.json()["detail"]
        assert client.post("/v1/check", content=small_png()).status_code == 200


def test_pixels_are_counted_from_the_header_before_anything_is_decoded(make: Any) -> None:
    reached: list[bytes] = []
    config = ServiceConfig(max_pixels=64 * 64)
    with stubbed(make, lambda data: reached.append(data) or make.verdict(), config=config) as client:
        refused(client.post("/v1/check", content=small_png((64, 65))), 413, "too_many_pixels")
        batch = client.post("/v1/batch", json={"images": [base64_of(small_png((65, 64)))]}).json()
        assert batch["results"][0]["reasons"][0]["value"] == 65 * 64
        assert reached == []
        assert client.post("/v1/check", content=small_png((64, 64))).status_code == 200
    assert len(reached) == 1


def test_bytes_are_counted_with_and_without_a_declared_length(make: Any) -> None:
    data = small_png()
    with stubbed(make, config=ServiceConfig(max_bytes=len(data))) as client:
        assert client.post("/v1/check", content=data).status_code == 200
        assert client.post("/v1/check", content=iter([data[:9], data[9:]])).status_code == 200
        refused(client.post("/v1/check", content=data + b"x"), 413, "too_large")
        refused(client.post("/v1/check", content=iter([data, b"x"])), 413, "too_large")


def arriving(messages: list[dict], **headers: str) -> tuple[Request, list[dict]]:
    """A request whose body arrives in these messages, and the messages that were taken."""
    taken: list[dict] = []

    async def receive() -> dict:
        message = messages[min(len(taken), len(messages) - 1)]
        taken.append(message)
        await asyncio.sleep(message.get("delay", 0))
        return message

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": named}, receive), taken


def read(request: Request, limit: int = 1000, seconds: float = 5) -> tuple[int, bytes]:
    try:
        return 200, asyncio.run(read_body(request, limit, seconds))
    except RefusedError as refusal:
        return refusal.status, b""


def test_a_body_without_end_is_left_at_the_limit() -> None:
    request, taken = arriving([{"type": "http.request", "body": b"x" * 100, "more_body": True}])
    assert read(request)[0] == 413
    assert len(taken) == 11


def test_a_declared_length_beyond_the_limit_is_refused_unread() -> None:
    request, taken = arriving([{"type": "http.request", "body": b"x"}], content_length="1001")
    assert read(request)[0] == 413
    assert taken == []


def test_a_slow_body_is_refused_in_time() -> None:
    drop = {"type": "http.request", "body": b"x", "more_body": True, "delay": 0.02}
    assert read(arriving([drop])[0], seconds=0.1)[0] == 408


def test_a_broken_off_body_is_refused() -> None:
    messages = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]
    assert read(arriving(messages)[0])[0] == 400


def test_without_weights_everything_but_healthz_is_503(make: Any, jpeg: bytes) -> None:
    def load() -> Any:
        raise ArtefactError("weights file secret-place/detector.safetensors is missing")

    with make.client(load, ready=False) as client:
        assert client.get("/healthz").json() == {"state": "alive"}
        refused(client.get("/readyz"), 503, "not_ready")
        refused(client.post("/v1/check", content=jpeg), 503, "not_ready")
        refused(client.post("/v1/batch", json={"images": [base64_of(jpeg)]}), 503, "not_ready")
        refused(client.get("/v1/model"), 503, "not_ready")
        assert "secret-place" not in client.get("/readyz").text
        assert "despoof_ready 0.0" in client.get("/metrics").text


def test_ready_service_says_so(client: Any) -> None:
    assert client.get("/readyz").json() == {"state": "ready"}
    assert client.get("/healthz").status_code == 200


def test_an_error_inside_is_a_500_without_its_inside(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    def judge(data: bytes) -> Any:
        raise RuntimeError("secret inside")

    with stubbed(make, judge) as client:
        response = client.post("/v1/check", content=small_png())
        refused(response, 500, "internal")
        assert "secret" not in response.text
        assert "Traceback" not in response.text
        assert 'despoof_requests_total{route="/v1/check",status="500"} 1.0' in client.get("/metrics").text
    assert "secret inside" in caplog.text  # whoever runs it can find out


def test_an_answer_out_of_time_is_503_and_room_is_free_again(make: Any) -> None:
    opened = threading.Event()

    def judge(data: bytes) -> Verdict:
        opened.wait(10)
        return make.verdict()

    with stubbed(make, judge, config=ServiceConfig(answer_seconds=0.3)) as client:
        refused(client.post("/v1/check", content=small_png()), 503, "timeout")
        assert client.app.state.service.admission.held == 0
        opened.set()
        assert client.post("/v1/check", content=small_png()).status_code == 200


def test_too_many_of_one_caller_are_429_and_of_all_503(make: Any) -> None:
    config = ServiceConfig(max_images=2, per_caller=2, waiting=3)
    keys = [KEY + "1", KEY + "2"]
    with stubbed(make, config=config, keys=keys) as client:
        admission = client.app.state.service.admission
        ask = [lambda key=key: client.post("/v1/check", content=small_png(), headers=bearer(key)) for key in keys]
        name = client.app.state.service.access.caller(
            {"path": "/v1/check", "headers": [(b"authorization", f"Bearer {keys[0]}".encode())]}
        )
        with admission.hold(name, 2):
            response = ask[0]()
            refused(response, 429, "too_many_requests")
            assert int(response.headers["retry-after"]) >= 1
            assert ask[1]().status_code == 200
            with admission.hold("another", 1):
                refused(ask[1](), 503, "overloaded")
        assert ask[0]().status_code == 200


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_key_opens_and_its_lack_does_not(make: Any) -> None:
    with stubbed(make, keys=[KEY]) as client:
        response = client.post("/v1/check", content=small_png())
        refused(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
        assert client.post("/v1/check", content=small_png(), headers=bearer(KEY)).status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.get("/").status_code == 200


def test_explanations_can_be_turned_off(make: Any) -> None:
    with stubbed(make, config=ServiceConfig(explanations=False)) as client:
        refused(client.post("/v1/check?explain=true", content=small_png()), 403, "no_explanations")
        assert client.post("/v1/check", content=small_png()).status_code == 200


def test_pictures_whose_generator_is_missing_are_refused_and_checks_are_not(make: Any) -> None:
    guard = make.stub(lambda source: make.verdict())

    def missing(verdict: Verdict) -> Verdict:
        raise ArtefactError("weights file /secret/generator.safetensors is missing")

    guard.with_counterpart = missing
    with make.client(lambda: guard) as client:
        answer = client.post("/v1/check?explain=true", content=small_png())
        refused(answer, 403, "no_explanations")
        assert "secret" not in answer.text
        assert client.post("/v1/check", content=small_png()).json()["profile"]["point"] == "balanced"


def test_every_response_has_safe_headers_and_allows_no_other_origin(client: Any, jpeg: bytes) -> None:
    responses = [client.get(path) for path in ("/", "/none", "/healthz")]
    for response in [*responses, client.post("/v1/check", content=jpeg)]:
        headers = response.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(("sent", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("<b>", False)])
def test_the_callers_request_id_is_kept_if_it_is_harmless(client: Any, sent: str, kept: bool) -> None:
    response = client.post("/v1/check", content=small_png(), headers={"x-request-id": sent})
    assert (response.json()["request_id"] == sent) is kept
    assert response.headers["x-request-id"] == response.json()["request_id"]


def test_a_refused_body_that_still_arrives_closes_the_connection(make: Any) -> None:
    with stubbed(make, config=ServiceConfig(max_bytes=100)) as client:
        assert client.post("/v1/check", content=bytes(5000)).headers["connection"] == "close"
        assert client.post("/v1/check", content=b"read to its end").headers.get("connection") != "close"


def test_the_log_has_decisions_no_pixels_no_key(make: Any, jpeg: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), make.client(make.open_guard, keys=[KEY], headers=bearer(KEY)) as client:
        client.post("/v1/check?explain=true", content=jpeg, headers={"x-request-id": "this-one"})
    rows = [json.loads(record.message) for record in caplog.records if record.message.startswith("{")]
    row = next(row for row in rows if row["request"] == "this-one")
    assert (row["route"], row["status"], row["results"][0]["decision"]) == ("/v1/check", 200, "LIVE")
    assert row["weights"] == {"detector": "0123456789ab"}
    assert row["point"] == "balanced"
    assert len(json.dumps(row)) < 500
    assert KEY not in caplog.text


def test_nothing_is_written_to_disk(make: Any, jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with make.client(make.open_guard) as client:
        client.post("/v1/check?explain=true", content=jpeg)
        client.post("/v1/batch", json={"images": [base64_of(jpeg)] * 3})
    assert list(tmp_path.rglob("*")) == []


def test_metrics_count_what_was_asked(make: Any, jpeg: bytes) -> None:
    with make.client(make.open_guard) as client:
        for body in (jpeg, jpeg, small_png(), b"text"):
            client.post("/v1/check", content=body)
        text = client.get("/metrics").text
    assert 'despoof_decisions_total{decision="LIVE"} 2.0' in text
    assert 'despoof_decisions_total{decision="NO_DECISION"} 1.0' in text
    assert 'despoof_reasons_total{reason="no_face"} 1.0' in text
    assert 'despoof_requests_total{route="/v1/check",status="415"} 1.0' in text
    assert "despoof_ready 1.0" in text
    assert "despoof_batch_images_count 3.0" in text
    assert 'despoof_liveness_count{kind="photo"} 2.0' in text  # what was answered, and nothing of refusals


def test_metrics_hold_liveness_in_the_bucket_of_the_answer_and_none_where_answers_hold_none(make: Any) -> None:
    def judge(data: bytes) -> Verdict:
        return Verdict(Decision.ATTACK, 0.25, thresholds=(0.3, 0.6))

    with stubbed(make, judge) as client:
        client.post("/v1/check", content=small_png())
        text = client.get("/metrics").text
    for bound, count in (("0.2", 0), ("0.3", 1), ("1.0", 1)):
        assert f'despoof_liveness_bucket{{kind="photo",le="{bound}"}} {count}.0' in text
    with stubbed(make, judge, config=ServiceConfig(decimals=None)) as client:
        client.post("/v1/check", content=small_png())
        text = client.get("/metrics").text
    assert 'despoof_liveness_count{kind="photo"}' not in text
    assert "despoof_decisions_total{" in text


def test_unknown_ways_share_one_label(client: Any) -> None:
    for i in range(5):
        client.get(f"/unknown-{i}")
    assert "unknown-" not in client.get("/metrics").text  # or a stranger could fill the memory with labels


def test_the_model_endpoint_tells_licence_hashes_and_limits(client: Any) -> None:
    answer = client.get("/v1/model").json()
    assert answer["licence"] == "Licence: research use only."
    assert answer["model"]["weights"] == {"detector": "0123456789ab"}
    assert answer["quality_limits"]["yaw"] > 0
    assert any("certification" in sentence for sentence in answer["limits"])


def test_concurrent_checks_get_their_own_answers(make: Any) -> None:
    def judge(data: bytes) -> Verdict:
        width = Image.open(io.BytesIO(data)).width
        return Verdict(Decision.ATTACK, width / 1000, thresholds=(0.3, 0.6))

    config = ServiceConfig(per_caller=32)
    with stubbed(make, judge, config=config) as client:
        found: dict[int, float] = {}

        def ask(width: int) -> None:
            found[width] = client.post("/v1/check", content=small_png((width, 64))).json()["liveness"]

        threads = [threading.Thread(target=ask, args=(width,)) for width in range(40, 64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert found == {width: width / 1000 for width in range(40, 64)}


def test_two_applications_in_one_process_do_not_mix(make: Any) -> None:
    with stubbed(make, name="one") as one, stubbed(make, name="two") as two:
        one.post("/v1/check", content=small_png())
        assert two.post("/v1/check", content=small_png()).json()["model"]["name"] == "two"
        assert 'despoof_decisions_total{decision="ATTACK"} 1.0' in one.get("/metrics").text


def test_building_an_application_loads_nothing() -> None:
    build_app(lambda: pytest.fail("loaded before the server started"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: Any, portrait: np.ndarray) -> bytes:
    pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")
    from miniatures import write_video

    path = tmp_path_factory.mktemp("clip") / "me.mp4"
    side = portrait.shape[0] // 2 * 2
    write_video(path, [np.roll(portrait[:side, :side], 2 * i, 1) for i in range(50)])
    return path.read_bytes()


def test_a_clip_follows_the_contract(client: Any, clip: bytes) -> None:
    answer = client.post("/v1/check-video", content=clip).json()
    assert (answer["decision"], len(answer["faces"])) == ("LIVE", 1)
    assert 5 <= answer["faces"][0]["judged"] <= answer["faces"][0]["seen"] <= answer["frames"]
    assert answer["request_id"]
    assert answer["model"]["weights"] == {"detector": "0123456789ab"}


def test_what_is_no_clip_is_refused_by_its_content(client: Any, jpeg: bytes) -> None:
    refused(client.post("/v1/check-video", content=jpeg, headers={"content-type": "video/mp4"}), 415, "not_a_video")
    refused(client.post("/v1/check-video", content=b""), 400, "empty_body")
    answer = client.post("/v1/check-video", content=b"\0\0\0\x18ftypisom" + bytes(64)).json()
    assert (answer["decision"], answer["reasons"][0]["name"]) == ("NO_DECISION", "unreadable")


def test_limits_of_clips_hold(make: Any, clip: bytes) -> None:
    with make.client(make.open_guard, config=ServiceConfig(max_video_bytes=1000)) as small:
        refused(small.post("/v1/check-video", content=clip), 413, "too_large")
    for limit in ({"max_video_seconds": 0.5}, {"max_video_pixels": 1000}):
        with make.client(make.open_guard, config=ServiceConfig(**limit)) as small:
            answer = small.post("/v1/check-video", content=clip).json()
            assert (answer["decision"], answer["faces"]) == ("NO_DECISION", [])
