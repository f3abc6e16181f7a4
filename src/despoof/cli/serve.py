"""`despoof serve`: the pipeline over HTTP, with a page for people."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from despoof.service.config import ServiceConfig

if TYPE_CHECKING:
    from despoof.pipeline import Guard

KEY_VARIABLE = "DESPOOF_API_KEYS"


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: str = "default",
    point: str | None = None,
    profile: Path | None = None,
    engine: str = "auto",
    key_file: Path | None = None,
    workers: int = 1,
    threads: int = 1,
    limits: ServiceConfig | None = None,
) -> None:
    """Answer checks over HTTP, and show a page at / where a photo can be tried.

    On this machine alone no key is needed. On any other address the service does not start without API keys, one
    a line in a file or in the environment variable DESPOOF_API_KEYS. TLS is for a proxy before it.

    Args:
        host: address to listen on.
        port: port to listen on.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch; auto is onnx where the weights have an export beside
            them (the default ones have), else torch.
        point: strict, balanced or lenient, an operating point of the weights; `despoof info` shows what to expect of
            each. Left out, balanced.
        profile: made by `despoof calibrate` or `despoof adapt` with these weights; they decide, and no point.
        key_file: text file with one API key a line.
        workers: photos or batches of them judged at the same time, each with models of its own. Clips have one more.
        threads: of the processor, for each worker.
        limits: of sizes, queue and time.
    """
    from despoof.errors import ConfigError

    if workers < 1 or threads < 1:
        raise ConfigError(f"{workers} workers of {threads} threads; expected at least one of each.")
    try:
        import uvicorn

        from despoof.service.access import is_loopback, read_keys
        from despoof.service.app import build_app
        from despoof.service.schemas import read_cards
        from despoof.service.server import server_config
    except ModuleNotFoundError as error:
        raise ConfigError(f"the service needs {error.name}. Install it with: pip install 'despoof[serve]'") from None
    keys = read_keys(key_file, os.environ.get(KEY_VARIABLE))
    if not keys and not is_loopback(host):
        raise ConfigError(
            f"no API key, and {host} is not this machine alone. Give --key-file or {KEY_VARIABLE}, or --host 127.0.0.1."
        )
    limits = limits or ServiceConfig()
    app = build_app(
        _loader(weights, threads, engine=engine, profile=profile, point=point), name=Path(weights).name,
        cards=read_cards(weights), keys=keys, config=limits, workers=workers,
    )  # fmt: skip
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(f"despoof: http://{host}:{port}/", flush=True)
    uvicorn.Server(server_config(app, limits, host=host, port=port)).run()


def _loader(weights: str, threads: int, **options: Any) -> Callable[[], "Guard"]:
    """Return what gives each worker a guard. The first is loaded here: a wrong name ends the command, in a sentence."""
    from despoof.pipeline import load

    def load_one() -> "Guard":
        return loaded.pop() if loaded else load(weights, threads=threads, **options)

    loaded: list[Guard] = []
    loaded.append(load_one())
    return load_one
