"""The way after detection as one graph for other runtimes: faces (N, S, S, 3) uint8 RGB and, where the detector takes
them, noise and surroundings (N, 2, R, R, 3) uint8 -> liveness (N,), counterpart and cue (N, 3, S, S). Torch stays the
reference; a graph that differs from it is not written.
"""
