"""What is counted, for Prometheus. Of this server only, so that two in one process do not mix."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from despoof.service.schemas import ImageResult

LIVENESS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)


class Metrics:
    """Requests, decisions, reasons, liveness, latency, batches, queue."""

    def __init__(self, waiting: Callable[[], float], ready: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests by route and status", "route", "status")
        self._decisions = self._counter("decisions", "Images by decision", "decision")
        self._reasons = self._counter("reasons", "Reasons of images without a decision", "reason")
        self._liveness = Histogram(
            "despoof_liveness", "As answered, of a photo or of the one face of a clip; none where answers hold none",
            ["kind"], registry=self.registry, buckets=LIVENESS,
        )  # fmt: skip
        self._latency = Histogram(
            "despoof_request_seconds", "From first byte to answer", ["route"], registry=self.registry, buckets=SECONDS
        )
        self._batches = Histogram(
            "despoof_batch_images", "Images judged together", registry=self.registry, buckets=(1, 2, 4, 8, 16, 32)
        )
        Gauge("despoof_waiting_images", "Images in the queue", registry=self.registry).set_function(waiting)
        Gauge("despoof_ready", "1 if checks are answered", registry=self.registry).set_function(ready)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def result(self, result: ImageResult, kind: str) -> None:
        """Count the outcome of one image or clip; `kind` is photo or clip."""
        if result.liveness is not None:
            self._liveness.labels(kind).observe(result.liveness)
        self._decisions.labels(result.decision.value).inc()
        for reason in result.reasons:
            self._reasons.labels(reason.name).inc()

    def batch(self, images: int) -> None:
        """Count one batch of photos."""
        self._batches.observe(images)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"despoof_{name}", about, labels, registry=self.registry)
