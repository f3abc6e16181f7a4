"""Image networks by name, one family a file: its layers, its stages, and how its released weights are read.

Another one is a file and a line here.
"""

from collections.abc import Callable
from functools import partial

from despoof.detector.backbones.backbone import Backbone
from despoof.detector.backbones.efficientnet_lite import efficientnet_lite0, efficientnet_lite2
from despoof.detector.backbones.mobilenet import mobilenet_v2, tiny_cnn
from despoof.detector.backbones.resnet import resnet18
from despoof.detector.backbones.vit import SHAPES, transformer

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite2": efficientnet_lite2,
    "resnet18": resnet18,
    "tiny_cnn": tiny_cnn,
    **{name: partial(transformer, shape) for name, shape in SHAPES.items()},
}
