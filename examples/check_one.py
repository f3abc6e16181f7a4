"""Judge one picture and save what explains the verdict."""

from skimage.data import astronaut

import despoof

guard = despoof.load()
verdict = guard.check(astronaut())  # a path, bytes, PIL image or array
print(verdict.decision, verdict.liveness, [reason.sentence for reason in verdict.reasons])
verdict.save_explanation("why.png")  # face | counterpart | cue
