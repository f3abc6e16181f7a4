"""Generated miniature copies of four official layouts: few people, one recording a kind, videos of 14 tiny frames.

Names, folders and splits are the official ones, so the adapters read them as the real thing.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

FRAMES = 14
SIDE = 64
# domain, attack type ("none" for live), subject (one per person, the same in all their videos), frame ->
# (H, W, 3) uint8 RGB of even sides, equal for all frames of a video
ImageOf = Callable[[str, str, str, int], np.ndarray]

OULU_FOLDERS = {"Train_files": 1, "Dev_files": 21, "Test_files": 36}  # with the first person of each
OULU_TYPES = {1: "none", 2: "print", 3: "print", 4: "replay", 5: "replay"}
CASIA_TYPES = {
    "1": "none", "2": "none", "HR_1": "none", "3": "print", "4": "print", "HR_2": "print",
    "5": "cut", "6": "cut", "HR_3": "cut", "7": "replay", "8": "replay", "HR_4": "replay",
}  # fmt: skip
REPLAY_CLIENTS = {"train": (1, 2, 4), "devel": (3, 5, 10), "test": (9, 11, 14)}
REPLAY_ATTACKS = {
    "print_{}_session01_highdef_photo": "print",
    "mobile_{}_session01_mobile_photo": "replay",
    "mobile_{}_session01_mobile_video": "replay",
    "highdef_{}_session01_highdef_photo": "replay",
    "highdef_{}_session01_highdef_video": "replay",
}
MSU_CLIENTS = {"train": (2, 3, 5, 6), "test": (1, 13, 14, 23)}
MSU_ATTACKS = {"ipad_video": "replay", "iphone_video": "replay", "printed_photo": "print"}


def make_miniatures(
    root: Path, *, subjects: int = 3, frames: int = FRAMES, image: ImageOf | None = None
) -> dict[str, Path]:
    """Write msu-mfsd, casia-fasd, replay-attack and oulu-npu below `root`; return domain -> its folder.

    `subjects` people (1 to 3) stand in every official split. Needs PyAV.
    """
    makers = {
        "msu-mfsd": msu_mfsd, "casia-fasd": casia_fasd, "replay-attack": replay_attack, "oulu-npu": oulu_npu,
    }  # fmt: skip
    for domain, names in makers.items():
        for path, species, subject in names(subjects):
            pictures = [(image or noise)(domain, species, subject, number) for number in range(frames)]
            write_video(root / domain / path, pictures)
    for split, clients in MSU_CLIENTS.items():
        lines = "".join(f"{client:02d}\n" for client in clients[:subjects])
        (root / "msu-mfsd" / f"{split}_sub_list.txt").write_text(lines)
    return {domain: root / domain for domain in makers}


def noise(domain: str, species: str, subject: str, frame: int) -> np.ndarray:
    """Return (64, 64, 3) noise that depends on the person, with a level that depends on what was presented."""
    rng = np.random.default_rng(sum(map(ord, domain + subject)))
    level = {"none": 0, "print": 40, "cut": 60, "replay": 90}[species]
    return np.roll(rng.integers(0, 150, (SIDE, SIDE, 3)), frame, 1).astype(np.uint8) + np.uint8(level)


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    """Write pictures (H, W, 3) uint8 RGB, of even sides, as a video of 25 frames a second."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def oulu_npu(subjects: int) -> list[tuple[str, str, str]]:
    """Return (path, attack type, subject) of phone 1, session 1: Phone_Session_User_File.avi."""
    return [
        (f"{folder}/1_1_{person:02d}_{file}.avi", species, f"{person:02d}")
        for folder, first in OULU_FOLDERS.items()
        for person in range(first, first + subjects)
        for file, species in OULU_TYPES.items()
    ]


def casia_fasd(subjects: int) -> list[tuple[str, str, str]]:
    """Return all twelve videos a person. Numbers start again in the test part, where they are other people."""
    return [
        (f"{folder}/{person}/{file}.avi", species, f"{folder}-{person}")
        for folder in ("train_release", "test_release")
        for person in range(1, subjects + 1)
        for file, species in CASIA_TYPES.items()
    ]


def replay_attack(subjects: int) -> list[tuple[str, str, str]]:
    """Return two live videos and the five kinds of attack, on a fixed support, a person."""
    found = []
    for split, clients in REPLAY_CLIENTS.items():
        for name in (f"client{number:03d}" for number in clients[:subjects]):
            for light in ("adverse_1", "controlled_1"):
                found.append((f"{split}/real/{name}_session01_webcam_authenticate_{light}.mov", "none", name))
            for form, species in REPLAY_ATTACKS.items():
                found.append((f"{split}/attack/fixed/attack_{form.format(name)}_adverse.mov", species, name))
    return found


def msu_mfsd(subjects: int) -> list[tuple[str, str, str]]:
    """Return all eight videos a person, of laptop and phone."""
    found = []
    for name in (f"client{number:03d}" for clients in MSU_CLIENTS.values() for number in clients[:subjects]):
        for device, suffix in (("android", "mp4"), ("laptop", "mov")):
            found.append((f"scene01/real/real_{name}_{device}_SD_scene01.{suffix}", "none", name))
            for form, species in MSU_ATTACKS.items():
                found.append((f"scene01/attack/attack_{name}_{device}_SD_{form}_scene01.{suffix}", species, name))
    return found
