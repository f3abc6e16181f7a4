"""Judge one picture and save what was judged: the face, its counterpart, and where it departs from it."""

from skimage.data import astronaut

import despoof

guard = despoof.load()
verdict = guard.check(astronaut())  # a path, bytes, PIL image or array
print(verdict.decision, verdict.liveness, [reason.sentence for reason in verdict.reasons])
verdict.save_explanation("pictures.png")  # face | counterpart | departure
