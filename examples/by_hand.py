"""The stages one by one: image -> scene -> face and surroundings, counterpart, cue -> liveness."""

import torch
from skimage.data import astronaut

from despoof.cue import cue
from despoof.faces.align import align, as_tensor, scaled
from despoof.faces.scene import look
from despoof.faces.surroundings import surroundings
from despoof.pipeline import load

engine = load(engine="torch").engine  # the one that holds the networks themselves: needs the extra `train`
config = engine.config
scene = look(astronaut())  # (H, W, 3) uint8 RGB; without blank borders, upright, the main face first
main = scene.faces[0]
face = as_tensor(align(scene.image, main.landmarks), config.face_size)[None]  # (1, 3, 128, 128) in [-1, 1]
around = scaled(torch.from_numpy(surroundings(scene.image, main.box)))[None]  # (1, 2, 3, 160, 160), near and far
counterpart = engine.generator.counterpart(face)
difference = cue(face, counterpart, config.cue_form)
given = difference if config.uses_cue else None, around if config.uses_surroundings else None
print(float(engine.detector.liveness(face, *given)[0]))
