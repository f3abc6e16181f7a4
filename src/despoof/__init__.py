"""Despoof: face liveness detection that shows what a real face would have looked like."""
