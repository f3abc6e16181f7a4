"""Where samples come from: disk -> `Sample`, and bytes -> pixels.

An image in this package is an array (H, W, 3), uint8, RGB, upright, alpha composited on black.
"""
