"""HKBU-MARs V2: twelve people and their masks, seven cameras, six lights."""

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label

LIST = "lists HKBUv2 of github.com/liuajian/CASIA-FAS-Dataset, of their own copy"

DATASET = Dataset(
    name="hkbu-mars",
    title="HKBU-MARs V2",
    licence="research only, by signed agreement",
    ask="http://rds.comp.hkbu.edu.hk/mars/",
    citation="Liu, Yang, Yuen, Zhao: A 3D mask face anti-spoofing database with real world variations. CVPRW 2016.",
    layout="real and attack (or mask), each PERSON/CAMERA_LIGHT_PERSON, as videos or as folders of images",
    patterns=(
        r"(?P<kind>real|attack|mask)/(?P<subject>\d{2})/(?P<camera>0[1-7])_(?P<light>0[1-6])_\d{1,2}(?:/[^/]+)?",
    ),
    kinds={"real": "none", "attack": "mask-3d", "mask": "mask-3d"},
    counts={(None, Label.LIVE): 504, (None, Label.ATTACK): 504},
    facts=(
        Fact("names by person, camera and light; 504 live and 504 mask videos", LIST),
        unchecked("names of the folders in the owners' own distribution", "not seen; the lists are of a copy"),
        unchecked("citation", "from memory"),
        unchecked("which masks are Thatsmyface and which REAL-f", "not in the lists; both are mask-3d"),
    ),
)  # fmt: skip
