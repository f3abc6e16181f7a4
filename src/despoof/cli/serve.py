"""`despoof serve`: the pipeline over HTTP, with a page for people."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from despoof.service.config import ServiceConfig

if TYPE_CHECKING:
    from fastapi import FastAPI

KEY_VARIABLE = "DESPOOF_API_KEYS"


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: str = "default",
    profile: Path | None = None,
    engine: str = "auto",
    key_file: Path | None = None,
    threads: int = 1,
    limits: ServiceConfig | None = None,
) -> None:
    """Answer checks over HTTP, and show a page at / where a photo can be tried.

    On this machine alone no key is needed. On any other address the service does not start without API keys, one
    a line in a file or in the environment variable DESPOOF_API_KEYS. TLS is for a proxy before it.

    Args:
        host: address to listen on.
        port: port to listen on.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
        engine: torch, or a folder made by `despoof export` from these weights; auto is the one that
            `despoof export` keeps for them, and torch where there is none.
        profile: made by `despoof calibrate` with these weights; its thresholds decide.
        key_file: text file with one API key a line.
        threads: of the processor, for the one worker that judges.
        limits: of sizes, queue and time.
    """
    import logging

    from despoof.errors import ConfigError

    limits = limits or ServiceConfig()
    try:
        import uvicorn

        app = application(
            weights, engine=engine, profile=profile, host=host, key_file=key_file, threads=threads, limits=limits
        )
    except ModuleNotFoundError as error:
        raise ConfigError(f"the service needs {error.name}. Install it with: pip install 'despoof[serve]'") from None
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(f"despoof: http://{host}:{port}/", flush=True)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # the service writes its own line for each request
        proxy_headers=False,  # nobody may speak for another caller
        server_header=False,
        ws="none",
        limit_concurrency=8 * limits.waiting,
        timeout_graceful_shutdown=15,
        h11_max_incomplete_event_size=16 * 1024,
    )


def application(
    weights: str, *, host: str, key_file: Path | None, threads: int, limits: ServiceConfig, engine: str = "auto",
    profile: Path | None = None,
) -> "FastAPI":  # fmt: skip
    """Return the application as `serve` runs it; without a key on an open address it is a ConfigError."""
    from despoof.errors import ConfigError
    from despoof.service.access import is_loopback, read_keys
    from despoof.service.app import build_app
    from despoof.service.schemas import read_cards

    keys = read_keys(key_file, os.environ.get(KEY_VARIABLE))
    if not keys and not is_loopback(host):
        raise ConfigError(
            f"no API key, and {host} is not this machine alone. Give --key-file or {KEY_VARIABLE}, or --host 127.0.0.1."
        )

    def load_in_worker():  # type: ignore[no-untyped-def]
        import torch

        from despoof.pipeline import load

        torch.set_num_threads(threads)
        return load(weights, engine=engine, profile=profile)

    return build_app(load_in_worker, name=Path(weights).name, cards=read_cards(weights), keys=keys, config=limits)
