"""SiW-Mv2: fourteen types of attack, from masks and make-up to partial covers, prints and replays."""

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label, Split

README = "README of source_SiW_Mv2 in github.com/CHELSEA234/Multi-domain-learning-FAS (the authors)"
KINDS = {
    "Live": "none", "Makeup_Cosmetic": "makeup-cosmetic", "Makeup_Impersonation": "makeup-impersonation",
    "Makeup_Obfuscation": "makeup-obfuscation", "Mannequin": "mannequin", "Silicone": "mask-silicone",
    "Print": "print", "Paper": "print", "Replay": "replay", "Partial_FunnyeyeGlasses": "partial-funny-eye",
    "Partial_PaperGlasses": "partial-paper-glasses", "Partial_Eye": "partial-eye", "Partial_Mouth": "partial-mouth",
    "Mask_HalfMask": "mask-half", "Mask_PaperMask": "mask-paper", "Mask_TransparentMask": "mask-transparent",
}  # fmt: skip

DATASET = Dataset(
    name="siw-mv2",
    title="SiW-Mv2",
    licence="research only, by signed agreement",
    ask="https://github.com/CHELSEA234/Multi-domain-learning-FAS (release agreement DRA_form_SIWMv2.pdf)",
    citation="Guo, Liu, Jain, Liu: Multi-domain learning for updating face anti-spoofing models. ECCV 2022.",
    layout="Live with 785 videos, and Spoof with fourteen folders named after the attack",
    patterns=(r"(?P<kind>Live)/(?P<subject>[^/]+)", r"Spoof/(?P<kind>[A-Z][A-Za-z_]+)/(?P<subject>[^/]+)"),
    kinds=KINDS,
    subject="{kind}/{subject}",  # the owners publish no list of who is in which video
    split_lists={
        "trainlist_live.txt": Split.TRAIN, "trainlist_all.txt": Split.TRAIN,
        "testlist_live.txt": Split.TEST, "testlist_all.txt": Split.TEST,
    },
    counts={(None, Label.LIVE): 785, (None, Label.ATTACK): 915},
    facts=(
        Fact("folders, the fourteen types, 785 live videos, names of the lists of protocol I", README),
        unchecked("915 attack videos", "another project's audit of its copy (1,700 in all)"),
        Fact("the folder of prints is Print in the README and Paper in a copy; both are read", README),
        unchecked("each video counts as its own person: who is in which is not published", README),
    ),
)  # fmt: skip
