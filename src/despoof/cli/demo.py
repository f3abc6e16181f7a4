"""`despoof demo`: one portrait, and simulated captures of it, through the whole way."""

from pathlib import Path


def demo(*, out: Path = Path("demo"), weights: str = "default", seeds: int = 3) -> None:
    """Judge a public-domain portrait and simulated captures of it; write *face | counterpart | departure* for each.

    The captures are rendered, so this shows that the way works, not how well: it is no accuracy claim.

    Args:
        out: folder for the pictures.
        weights: a preset's name or a folder of weights.
        seeds: simulated cameras; each gives a live capture, a display and a print held before it.
    """
    from despoof.cli.check import describe
    from despoof.data.portrait import FACE, portrait
    from despoof.data.simulation.recapture import recapture
    from despoof.pipeline import load
    from despoof.runs.progress import track

    inputs = {"portrait": portrait()}
    for seed in range(seeds):
        for species in ("live", "display", "print"):
            inputs[f"{species}, simulated {seed}"] = recapture(inputs["portrait"], species, seed, box=FACE)
    guard = load(weights)
    guard.check(inputs["portrait"])  # the first check loads libraries; the times below are of the second
    for name, image in track(inputs.items(), "check", len(inputs)):
        verdict = guard.check(image)
        print(describe(name, verdict))
        if verdict.face is not None:
            picture = out / f"{name.replace(', ', '-').replace(' ', '-')}.png"
            print(f"  picture    {guard.with_counterpart(verdict).save_explanation(picture)}")
