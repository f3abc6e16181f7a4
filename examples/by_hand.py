"""The stages one by one: image -> face -> counterpart -> cue -> liveness."""

from skimage.data import astronaut

from despoof.cue import cue
from despoof.faces.align import align, as_tensor
from despoof.faces.detect import find_faces
from despoof.pipeline import load

guard = load()
image = astronaut()  # (H, W, 3) uint8 RGB
found = find_faces(image)[0]
face = as_tensor(align(image, found.landmarks), 128)[None]  # (1, 3, 128, 128) in [-1, 1]
counterpart = guard.generator.counterpart(face)
difference = cue(face, counterpart, guard.detector.config.cue_form)
print(float(guard.detector.liveness(face, difference)[0]))
