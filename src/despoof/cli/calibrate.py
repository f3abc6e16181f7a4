"""`despoof calibrate`: a threshold profile for one's own camera."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def calibrate(
    live: Path, *, out: Annotated[Path, Parameter(name=["--out", "-o"])], attacks: Path | None = None,
    bpcer: float = 0.05, name: str = "camera", weights: str = "default", engine: str = "auto",
) -> None:  # fmt: skip
    """Set the thresholds at a wanted BPCER from one's own live photos and clips; `check --profile` then follows them.

    Args:
        live: folder of photos and clips of live people before the camera.
        out: the profile, a JSON file.
        attacks: folder of photos and clips of attacks on it, in one folder for each type.
        bpcer: share of live presentations that may be refused at most.
        name: of the profile, which every verdict will carry.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch, as for `despoof check`.
    """
    from despoof.calibration import bpcer_at, present
    from despoof.calibration import calibrate as run
    from despoof.pipeline import load
    from despoof.profile import write_profile

    guard = load(weights, engine=engine)
    kinds = {path.name: path for path in sorted(attacks.iterdir()) if path.is_dir()} if attacks else {}
    if attacks and not kinds:
        kinds = {"unknown": attacks}
    shown = present(guard, live, "live")
    against = {kind: present(guard, folder, f"attacks: {kind}") for kind, folder in kinds.items()}
    profile, warnings = run(guard, shown, against, bpcer=bpcer, name=name)
    write_profile(out, profile)
    print(profile.label)
    for kind, point in (("photos", profile.photos), ("clips", profile.clips)):
        print(f"  {kind}: attack below {point.attack_below:.4f}, live from {point.live_from:.4f}")
        if point.bpcer is not None:
            own = guard.thresholds[1]
            before = bpcer_at(own, getattr(shown, kind))
            print(f"    BPCER {_said(point.bpcer)}; at the weights' own {own:.4f}: {_said(before)}")
        for type_, rate in point.apcer.items():
            print(f"    APCER of {type_} {_said(rate)}")
        for file, reason in getattr(shown, kind).unanswered.items():
            print(f"    not judged: {file}: {reason}")
    for warning in warnings:
        print(f"  warning: {warning}")
    print(f"  {out}")


def _said(rate) -> str:  # type: ignore[no-untyped-def]
    return f"{rate.errors} of {rate.presented}, {rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
