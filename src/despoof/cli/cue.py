"""`despoof cue`: what the cue alone knows, beside trivial baselines."""

from pathlib import Path


def cue(
    store: Path, generator: Path, *, start_step: int | None = None, out: Path | None = None, threads: int = 2
) -> None:
    """Print AUC (live above attack) per domain of the cue's own scores and of trivial ones.

    Args:
        store: captures with live and attack, prepared; missing counterparts are made.
        generator: generator.safetensors.
        start_step: t; the generator's own if left out.
        out: JSON file for the table.
        threads: of the processor.
    """
    import torch

    from despoof.faces.store import Store, counts
    from despoof.generator.reconstruct import reconstruct
    from despoof.generator.registry import load_generator
    from despoof.runs.folder import write_json
    from despoof.studies.cue import cue_table

    torch.set_num_threads(threads)
    opened, loaded = Store(store), load_generator(generator)
    table = cue_table(opened, loaded, reconstruct(opened, loaded, start_step=start_step))
    domains = list(next(iter(table.values())))
    print(f"{'AUC live > attack':44}" + "".join(f"{name:>10}" for name in domains))
    for name, row in table.items():
        print(f"{name:44}" + "".join(f"{row[domain]:10.3f}" for domain in domains))
    for (domain, label), count in sorted(counts(opened.with_face()).items()):
        print(f"# {domain} {label.value}: {count}")
    if out is not None:
        write_json(out, table)
