"""A clip's verdict as a picture: liveness over time, a band for each face, thresholds, and frames not judged."""

from pathlib import Path

from despoof.clip.judge import ClipVerdict, FaceVerdict
from despoof.runs.folder import atomic_path

WIDTH, BAND, MARGIN, TOP = 860, 190, 60, 34
COLOURS = {
    "LIVE": (96, 200, 120), "ATTACK": (228, 96, 88), "UNCERTAIN": (226, 188, 80), "NO_DECISION": (130, 136, 146),
}  # fmt: skip
PALE = (170, 176, 186)


def save_timeline(verdict: ClipVerdict, path: str | Path) -> Path:
    """Write the timeline as a PNG: a dot for each judged frame, a tick at the foot for each one that was not."""
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (WIDTH, TOP + BAND * max(1, len(verdict.faces))), (16, 18, 22))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    said = "; ".join(reason.sentence for reason in verdict.reasons)
    draw.text((10, 8), f"{verdict.decision.value}   {verdict.frames} frames   {said}"[:110], (240, 240, 240), font)
    for i, face in enumerate(verdict.faces):
        _band(draw, font, face, verdict, TOP + i * BAND)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")
    return Path(path)


def _band(draw, font, face: FaceVerdict, verdict: ClipVerdict, top: int) -> None:  # type: ignore[no-untyped-def]
    height, left = BAND - 60, MARGIN
    right = WIDTH - 20

    def place(seconds: float, liveness: float) -> tuple[float, float]:
        across = left + (right - left) * seconds / max(verdict.seconds, 1e-9)
        return across, top + 20 + height * (1 - liveness)

    said = "not judged" if face.liveness is None else f"liveness {face.liveness:.3f} of {face.judged} frames"
    draw.text((left, top), f"{face.decision.value}   {said}", COLOURS[face.decision.value], font)
    for limit, name in zip(verdict.thresholds, ("attack below", "live from"), strict=True):
        y = place(0, limit)[1]
        draw.line((left, y, right, y), (70, 76, 88))
        draw.text((right - 130, y - 16), f"{name} {limit:.2f}", PALE, font)
    draw.text((20, top + 12), "1", PALE, font)
    draw.text((20, top + 12 + height), "0", PALE, font)
    for sight in face.sights:
        colour = COLOURS[sight.verdict.decision.value]
        x, y = place(sight.seconds, sight.verdict.liveness or 0.0)
        if sight.verdict.liveness is None:
            draw.line((x, y, x, y + 10), colour, 2)
        else:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), colour)
    draw.text((left, top + 24 + height), f"0 s{' ' * 8}to {verdict.seconds:.1f} s", PALE, font)
