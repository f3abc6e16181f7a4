"""`despoof adapt`: a profile that corrects liveness for one's own camera."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

NOT_ADOPTED = 5  # exit status where nothing was written, since no error is shown to be mended


def adapt(
    live: Path, *, attacks: tuple[str, ...] = (), out: Annotated[Path, Parameter(name=["--out", "-o"])],
    bpcer: float = 0.05,
    name: str = "camera", weights: str = "default", engine: str = "auto",
) -> None:  # fmt: skip
    """Correct liveness by one's own recordings, live alone or attacks too; `check --profile` follows the correction.

    For a camera on which no threshold helps. Each person is tried on a correction learned from the others; where that
    mends no errors beyond chance, nothing is written and the exit status is 5. Without attacks nothing can be tried:
    the level of liveness alone is shifted, as helps on other cameras, and little where more attacks would pass.

    Args:
        live: folder of photos and clips of live people before the camera, each person's in a folder of their own.
        attacks: TYPE=FOLDER, such as print=recordings/prints, one for each type; in it a folder for each person too.
        out: the profile, a JSON file.
        bpcer: share of live presentations that may be refused at most; without attacks thresholds stay the weights'.
        name: of the profile, which every verdict will carry.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch, as for `despoof check`.
    """
    from despoof.adaptation import adapt as run
    from despoof.adaptation import adapt_level, look_at
    from despoof.pipeline import load
    from despoof.profile import write_profile

    kinds = dict(map(_kind, attacks))
    guard = load(weights, engine=engine)
    shown = {"live": look_at(guard, live, "live")}
    shown |= {f"attack {kind}": look_at(guard, folder, f"attacks: {kind}") for kind, folder in kinds.items()}
    if kinds:
        found = run(guard, shown["live"], {kind: shown[f"attack {kind}"] for kind in kinds}, bpcer=bpcer, name=name)
        profile, lines = found.profile, found.lines
    else:
        profile, lines = adapt_level(guard, shown["live"], name=name)
    for title, faces in shown.items():
        print(f"  {title}: {len(faces.liveness)} faces of {len(set(faces.person))} people")
        for file, reason in faces.unanswered.items():
            print(f"    not judged: {file}: {reason}")
    for line in lines:
        print(f"  {line}")
    if profile is None:
        raise SystemExit(NOT_ADOPTED)
    write_profile(out, profile)
    for kind, point in (("photos", profile.photos), ("clips", profile.clips)):
        print(f"  {kind}: attack below {point.attack_below:.4f}, live from {point.live_from:.4f}")
    print(f"  {profile.label} in {out}")


def _kind(given: str) -> tuple[str, Path]:
    from despoof.errors import ConfigError

    kind, told, folder = given.partition("=")
    if not (kind and told and folder):
        raise ConfigError(f"attacks {given!r}; expected TYPE=FOLDER, such as --attacks print=recordings/prints")
    return kind, Path(folder)
