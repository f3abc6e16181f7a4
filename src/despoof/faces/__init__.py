"""Look, align, check: image (H, W, 3) uint8 RGB -> scene with its faces -> face and what lies around it.

A face is aligned to the AG-FAS template. On disk and from `align` it is (256, 256, 3) uint8 RGB; as a tensor
it is (3, S, S), float32, RGB in [-1, 1], where S is the preset's face size (`as_tensor`).
"""
