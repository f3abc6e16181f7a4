"""The cue-guided classifier: face and cue, each (N, 3, S, S), -> liveness (N,), higher is more live.

A face is RGB in [-1, 1], its cue is `despoof.cue.cue` of it. The detector does not know who made the
counterpart. Liveness is a logit inside training and a probability in 0..1 from `Detector.liveness`.
"""
