"""Load of one server on loopback: throughput, latency and memory over many requests.

    python benchmarks/service_load.py [--requests 300] [--clients 4] [--threads 1] [--weights default] [--json OUT.json]

Starts `despoof serve` in its own process with tiny random weights (or those given), sends the NASA portrait from
keep-alive clients, each sending its next request when it has its answer, and reads the server's memory as it goes.
Prints one line a tenth, so that growth shows: the first tenth is warm-up, what comes after it should be flat. Exits
with 1 where an answer was not 200. Without --weights the numbers are of service and face detection, not of a model.
Needs Linux for memory.
"""

import argparse
import http.client
import io
import json
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
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of the server's worker")
    parser.add_argument("--at-once", type=int, default=8, help="images the worker takes together")
    parser.add_argument("--weights", help="a preset or folder; tiny random weights without it")
    parser.add_argument("--explain", action="store_true", help="ask for pictures")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long at most")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        server = start(options.weights or tiny_weights(Path(folder)), port, options)
        try:
            figures = measure(server, port, options)
        finally:
            server.terminate()
            server.wait(20)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(set(figures["statuses"]) != {"200"})


def tiny_weights(folder: Path) -> str:
    """Write a detector of tiny random weights, without a generator."""
    from dataclasses import replace

    from despoof.detector.config import TINY
    from despoof.detector.network import Detector, save_detector

    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    save_detector(folder / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    return str(folder)


def start(weights: str, port: int, options: argparse.Namespace) -> subprocess.Popen:
    """Start the installed command and wait until it is ready."""
    command = [sys.executable, "-m", "despoof", "serve", "--port", str(port), "--weights", weights]
    server = subprocess.Popen(
        [*command, f"--threads={options.threads}", f"--limits.at-once={options.at_once}", "--limits.waiting=64",
         "--limits.per-caller=64"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
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


def measure(server: subprocess.Popen, port: int, options: argparse.Namespace) -> dict:
    """Send the requests in tenths, print each, and return the figures of all."""
    from PIL import Image
    from skimage.data import astronaut

    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "JPEG", quality=92)
    path, end = f"/v1/check?explain={str(options.explain).lower()}", time.monotonic() + options.seconds
    memory, seconds, begun = [resident(server.pid)], [], time.perf_counter()
    statuses: Counter[str] = Counter()
    print(f"{options.clients} clients, up to {options.at_once} images together, weights {options.weights or 'tiny'}, "
          f"{options.threads} threads; {memory[0]:.1f} MB when ready")  # fmt: skip
    print("requests  per second  p50 ms  p99 ms  memory MB  statuses")
    for number in range(10):
        share = options.requests * (number + 1) // 10 - options.requests * number // 10
        since = time.perf_counter()
        times, found = send(port, path, buffer.getvalue(), options, share, end)
        if not times:
            break
        memory.append(resident(server.pid))
        seconds, statuses = seconds + times, statuses + found
        print(
            f"{len(times):8} {line(times, time.perf_counter() - since)} {memory[-1]:10.1f}  {dict(found)}", flush=True
        )
    rate = line(seconds, took := time.perf_counter() - begun)
    print(f"{len(seconds):8} {rate} {max(memory):10.1f}  {dict(statuses)}  in all; memory: start {memory[0]:.1f}, "
          f"after a tenth {memory[1]:.1f}, end {memory[-1]:.1f} MB; images a batch {batch(port):.2f}")  # fmt: skip
    return {
        "requests": len(seconds), "clients": options.clients, "threads": options.threads,
        "weights": options.weights or "tiny", "per_second": len(seconds) / took,
        "p50_ms": statistics.median(seconds) * 1e3, "p99_ms": percentile(seconds, 0.99) * 1e3,
        "statuses": dict(statuses), "memory_mb": memory,
    }  # fmt: skip


def line(times: list[float], took: float) -> str:
    """Return rate, median and 99th percentile as columns."""
    middle, tail = statistics.median(times) * 1e3, percentile(times, 0.99) * 1e3
    return f"{len(times) / took:11.1f} {middle:7.1f} {tail:7.1f}"


def batch(port: int) -> float:
    """Return how many images the worker took together, on average."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    images, batches = (float(re.search(rf"despoof_batch_images_{x} (\S+)", text)[1]) for x in ("sum", "count"))
    return images / batches


def send(
    port: int, path: str, body: bytes, options: argparse.Namespace, requests: int, end: float
) -> tuple[list[float], Counter[str]]:
    """Send requests from all clients; return their seconds and statuses, or names of errors without an answer."""
    times: list[float] = []
    statuses: Counter[str] = Counter()
    left = iter(range(requests))  # next() on it is atomic: clients share it

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in left:
            begun = time.perf_counter()
            try:
                status = str(ask(connection, "POST", path, body))
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                connection.close()  # the next request opens it again
            statuses[status] += 1
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
