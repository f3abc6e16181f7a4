"""`despoof calibrate`: a threshold profile for one's own camera."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def calibrate(
    live: Path, *, out: Annotated[Path, Parameter(name=["--out", "-o"])], attacks: Path | None = None,
    bpcer: float = 0.05, name: str = "camera", weights: str = "default",
) -> None:  # fmt: skip
    """Set the thresholds at a wanted BPCER from one's own live photos and clips; `check --profile` then follows them.

    Args:
        live: folder of photos and clips of live people before the camera.
        out: the profile, a JSON file.
        attacks: folder of photos and clips of attacks on it, in one folder for each type.
        bpcer: share of live presentations that may be refused at most.
        name: of the profile, which every verdict will carry.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
    """
    from despoof.calibration import calibrate as run
    from despoof.calibration import present
    from despoof.pipeline import load
    from despoof.profile import write_profile

    guard = load(weights)
    kinds = {path.name: path for path in sorted(attacks.iterdir()) if path.is_dir()} if attacks else {}
    if attacks and not kinds:
        kinds = {"unknown": attacks}
    shown = present(guard, live, "live")
    against = {kind: present(guard, folder, f"attacks: {kind}") for kind, folder in kinds.items()}
    profile, warnings = run(guard, shown, against, bpcer=bpcer, name=name)
    write_profile(out, profile)
    rates = {"BPCER": profile.bpcer} | {f"APCER of {kind}": _rate(values) for kind, values in profile.apcer.items()}
    print(f"{profile.label}: attack below {profile.attack_below:.4f}, live from {profile.live_from:.4f}")
    for title, rate in rates.items():
        print(f"  {title}: {rate.errors} of {rate.presented}, {rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})")
    for file, reason in shown.unanswered.items():
        print(f"  not judged: {file}: {reason}")
    for warning in warnings:
        print(f"  warning: {warning}")
    print(f"  {out}")


def _rate(values: dict):  # type: ignore[no-untyped-def]
    from despoof.profile import Rate

    return Rate(**values)
