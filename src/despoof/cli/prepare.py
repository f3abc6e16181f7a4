"""`despoof prepare`: a folder, manifest or dataset of images and videos -> a store of aligned faces."""

from collections import Counter
from pathlib import Path

from despoof.cli.options import Place


def prepare(
    source: Path, store: Place, *, domain: str = "", dataset: str | None = None, protocol: str | None = None,
    frames: str | None = None, yunet: Path | None = None, workers: int = 2,
    pool: str = "local", address: str | None = None,
) -> None:  # fmt: skip
    """Find and align the face of every sample; run again to go on after an interruption.

    Args:
        source: a CSV or Parquet file (path, label, attack_type, subject, domain, split), a folder with live/ and
            attack/TYPE/, or, with --dataset, the root of that dataset.
        store: folder to write; several sources may go into one.
        domain: name of the capture domain, for a folder.
        dataset: name of a known dataset; `despoof data list` has them.
        protocol: of the dataset, such as 1; only what it uses is prepared, in its splits.
        frames: which frames of a video: first, spaced:K, published:K (AG-FAS and SSDG: published:2) or every:N.
        yunet: OpenCV's YuNet file, to find faces with it instead of the detector that comes with the package.
        workers: processes, or tasks at a time of a Ray cluster.
        pool: local, processes of this machine, or ray, a cluster; both give the same store.
        address: of the Ray cluster, whose machines must find the files under the same paths; without it Ray runs here.
    """
    from despoof.data.datasets import load_dataset
    from despoof.data.manifest import left_out, read_source
    from despoof.data.video import parse_rule
    from despoof.errors import InputError
    from despoof.faces.prepare import prepare as run
    from despoof.runs.pool import Pool

    if isinstance(store, str):
        raise InputError(f"store {store}; expected a folder on a disk. Write it elsewhere with `despoof data shards`.")
    if protocol is not None and dataset is None:
        raise InputError(f"protocol {protocol!r} without a dataset; expected --dataset NAME with it. Give both.")
    if dataset is not None and domain:
        raise InputError(
            f"domain {domain!r} with --dataset; expected one of them, a dataset names its domain. Drop it."
        )
    rule = None if frames is None else parse_rule(frames)
    if dataset is None:
        samples = read_source(source, domain=domain)
    else:
        samples = load_dataset(dataset).samples(source, protocol=protocol)
    shared = Pool(pool, workers=max(1, workers), address=address)
    done = run(samples, store, pool=shared, frames=rule, yunet_file=yunet)
    for suffix, number in sorted(left_out(source).items() if source.is_dir() and dataset is None else ()):
        print(f"not read: {number} files {suffix}")
    found = Counter((row.sample.domain or "-", row.sample.label.value, row.outcome[:40]) for row in done.rows)
    for (name, label, outcome), count in sorted(found.items()):
        print(f"{name:12} {label:8} {outcome:42} {count}")
