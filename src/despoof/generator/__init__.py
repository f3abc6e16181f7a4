"""The De-spoofing Face Generator (DFG): face -> counterpart, what a real face would have looked like.

Both are (N, 3, S, S), float32, RGB in [-1, 1], S = the preset's face size. Everything here is trained on
real faces only (AG-FAS, abstract). Several kinds stand behind one function, `counterpart`: see `generator.KINDS`.
"""
