"""Judges of what frozen networks read: numbers (N, K), read once and kept, -> a detector, in seconds."""
