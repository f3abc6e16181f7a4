"""Load of one server on loopback: throughput, latency and memory over many requests.

    python benchmarks/service_load.py [--requests 400] [--clients 4] [--weights FOLDER] [--at-once 8]

Starts `despoof serve` in its own process with tiny random weights (or those given), sends the NASA portrait from
keep-alive clients, each sending its next request when it has its answer, and reads the server's memory as it goes.
Prints one line a quarter, so that growth shows. Without --weights the numbers are of service and face detection,
not of a model. Needs Linux for memory.
"""

import argparse
import http.client
import io
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path


def main() -> None:
    """Run the load and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=8, help="images the worker takes together")
    parser.add_argument("--weights", help="a preset or folder; tiny random weights without it")
    parser.add_argument("--explain", action="store_true", help="ask for pictures")
    parser.add_argument("--seconds", type=float, default=300, help="stop after so long at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        server = start(options.weights or tiny_weights(Path(folder)), port, options.at_once)
        try:
            measure(server, port, options)
        finally:
            server.terminate()
            server.wait(20)


def tiny_weights(folder: Path) -> str:
    """Write a detector of tiny random weights, without a generator."""
    from dataclasses import replace

    from despoof.detector.config import TINY
    from despoof.detector.network import Detector, save_detector

    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    save_detector(folder / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    return str(folder)


def start(weights: str, port: int, at_once: int) -> subprocess.Popen:
    """Start the installed command and wait until it is ready."""
    command = [sys.executable, "-m", "despoof", "serve", "--port", str(port), "--weights", weights]
    server = subprocess.Popen(
        [*command, f"--limits.at-once={at_once}", "--limits.waiting=64", "--limits.per-caller=64"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for _ in range(600):
        time.sleep(0.1)
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}; run it by hand: {' '.join(command)}")
        try:
            if ask(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "GET", "/readyz") == 200:
                return server
        except OSError:
            continue
    sys.exit("the server was not ready within a minute")


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> int:
    """Send one request, read its answer, return the status."""
    connection.request(method, path, body)
    response = connection.getresponse()
    response.read()
    return response.status


def measure(server: subprocess.Popen, port: int, options: argparse.Namespace) -> None:
    """Send the requests in four quarters and print each."""
    from PIL import Image
    from skimage.data import astronaut

    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "JPEG", quality=92)
    path, end = f"/v1/check?explain={str(options.explain).lower()}", time.monotonic() + options.seconds
    quarter(port, path, buffer.getvalue(), options, 2 * options.clients, end)  # libraries load, caches fill
    print(f"{options.clients} clients, up to {options.at_once} images together, weights {options.weights or 'tiny'}")
    print("requests  per second  p50 ms  p99 ms  memory MB  statuses")
    for _ in range(4):
        begun = time.perf_counter()
        times, statuses = quarter(port, path, buffer.getvalue(), options, options.requests // 4, end)
        rate = len(times) / (time.perf_counter() - begun)
        middle, tail = statistics.median(times) * 1e3, percentile(times, 0.99) * 1e3
        print(
            f"{len(times):8} {rate:11.1f} {middle:7.1f} {tail:7.1f} {resident(server.pid):10.1f}  {dict(statuses)}",
            flush=True,
        )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    images, batches = (float(re.search(rf"despoof_batch_images_{x} (\S+)", text)[1]) for x in ("sum", "count"))
    print(f"images a batch: {images / batches:.2f}")


def quarter(
    port: int, path: str, body: bytes, options: argparse.Namespace, requests: int, end: float
) -> tuple[list[float], Counter[int]]:
    """Send requests from all clients; return their seconds and statuses."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    left = iter(range(requests))  # next() on it is atomic: clients share it

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in left:
            begun = time.perf_counter()
            statuses[ask(connection, "POST", path, body)] += 1
            times.append(time.perf_counter() - begun)
            if time.monotonic() > end:
                break
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, statuses


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def resident(pid: int) -> float:
    """Megabytes of memory a process holds."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


if __name__ == "__main__":
    main()
