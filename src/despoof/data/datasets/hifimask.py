"""CASIA-SURF HiFiMask: 75 people, 225 masks of three materials, six scenes, six lights, seven sensors."""

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Split

README = "readme of CASIA_HiFiMask in github.com/liuajian/CASIA-FAS-Dataset (authors)"

DATASET = Dataset(
    name="hifimask",
    title="CASIA-SURF HiFiMask",
    licence="research only, by signed agreement",
    ask="https://sites.google.com/view/face-anti-spoofing-challenge/dataset-download/casia-surf-hifimaskiccv2021",
    citation="Liu, Zhao, Yu, Wan, Su, Liu, and others: Contrastive context-aware learning for 3D high-fidelity mask "
    "face presentation attack detection. IEEE TIFS 17, 2022.",
    layout="Data with 54,223 folders SKIN_PERSON_KIND_SCENE_LIGHT_SENSOR of images, and protocol with the lists",
    patterns=(
        r"(?P<subject>(?P<skin>[123])_\d{2})_(?P<kind>[0-3])_(?P<scene>[1-6])_(?P<light>[0-6])_(?P<sensor>[0-8])/[^/]+",
    ),
    kinds={"0": "none", "1": "mask-transparent", "2": "mask-plaster", "3": "mask-resin"},
    split_lists={
        "CASIA_HiFiMask@p1_video_train.txt": Split.TRAIN, "CASIA_HiFiMask@p1_video_dev.txt": Split.VALIDATION,
        "CASIA_HiFiMask@p1_video_test.txt": Split.TEST,
    },
    facts=(
        Fact("names, 54,223 folders, lists of protocol 1", README),
        unchecked("that a list names a video by its folder", "seen for images of this collection only"),
        unchecked("counts per part and class", "known per part only (325,139, 43,470, 173,620 images); none compared"),
    ),
)  # fmt: skip
