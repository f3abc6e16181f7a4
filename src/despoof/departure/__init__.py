"""Where a face departs from its counterpart: both (N, 3, S, S) in [-1, 1] -> map (N, S, S) in 0..1.

`departure` is the map and its file, `teaching` what it learns from, `finding` whether it finds what was changed.
"""
