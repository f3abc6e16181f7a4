"""`despoof score`: judge stored photos and clips, one or a billion, into Parquet shards."""

import os
import sys
from pathlib import Path

ERRORS = 5  # exit status: more rows ended as errors than --max-errors allows


def score(
    manifest: str, out: Path, *, id: str | None = None, path: str = "path", weights: str = "default",
    engine: str = "auto", point: str | None = None, profile: Path | None = None, device: str = "cpu",
    pool: str = "local", workers: int = 0, address: str | None = None, cpus: float = 1.0, gpus: float = 0.0,
    retry: bool = False, max_errors: float = 0.0, explain: str | None = None,
) -> None:  # fmt: skip
    """Judge everything that a manifest lists, as `despoof check` does; run again to go on.

    Writes OUT/shards/*.parquet, a row for each: id, decision, liveness, reasons, quality, error, attempts, times; and
    OUT/summary.json. What could not be fetched or opened is a row too, with an error and NO_DECISION. The exit status
    is 0 if the share of such rows is at most --max-errors, else 5.

    Args:
        manifest: CSV, Parquet or JSONL with a column of paths or URIs; or a folder, a pattern or one file. It and what
            it lists may lie on disk, or at s3://, gs:// or https:// (extras s3, gs, https). It may grow.
        out: folder to write, that of one job: with other weights, thresholds, engine or versions it is refused.
        id: column that names each row, once; the text of the path if left out.
        path: column of paths or URIs; paths are relative to the manifest.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: as for `despoof check`.
        point: as for `despoof check`.
        profile: as for `despoof check`.
        device: where the engine judges, such as cuda.
        pool: local, processes of this machine, or ray, a cluster; both give the same rows.
        workers: processes of one thread each, or tasks at a time of the cluster; as many as this machine has cores if
            left out.
        address: of the Ray cluster, such as auto; without it Ray is started on this machine.
        cpus: cores of a worker, in Ray.
        gpus: GPUs of a worker, in Ray; parts of one may be shared.
        retry: try rows again that ended as errors; a success takes the error's place.
        max_errors: share of rows that may end as errors.
        explain: rows of which a picture is written to OUT/pictures, such as "decision != 'LIVE' and liveness < 0.2".
    """
    from despoof.batch.job import score as run
    from despoof.batch.judging import How
    from despoof.batch.manifest import Listing
    from despoof.errors import ConfigError
    from despoof.runs.pool import Pool

    if not 0 <= max_errors <= 1:
        raise ConfigError(f"--max-errors {max_errors:g}; expected a share from 0 to 1. Give one, such as 0.001.")
    how = How(weights, engine, point, None if profile is None else str(profile.resolve()), device)
    shared = Pool(pool, workers or os.cpu_count() or 1, address, cpus, gpus)
    found = run(Listing(manifest, path, id), out, how, pool=shared, retry=retry, shown=explain)
    print("  ".join(f"{name} {count}" for name, count in found["decisions"].items()))
    print(f"{found['rows']} rows, {found['errors']['rows']} errors; {found['run']['rows_a_second']} rows a second")
    for kind, count in found["errors"]["kinds"].items():
        print(f"  {kind:30} {count}")
    print(f"  {out}")
    if found["errors"]["share"] > max_errors:
        sys.exit(ERRORS)
