"""What a detector is trained on, one technique of domain generalisation a file.

Symbols in all of them: f an embedding (N, E), y live or attack, d domain (N,), 0 .. number of sources - 1.
"""
