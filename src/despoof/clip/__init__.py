"""Moving pictures -> one verdict for each face: frames are taken by a rule, faces followed, liveness fused.

In go a video (path or bytes) or a camera as an iterator of `Frame`, one image (H, W, 3) uint8 RGB at a time; out comes
a `ClipVerdict`. It is LIVE only if exactly one face was seen long enough and that one is live.
"""
