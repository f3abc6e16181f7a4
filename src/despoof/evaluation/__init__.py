"""Protocols, runner, score files and reports: a model and prepared samples -> scores -> tables.

Scores are files (`results`), and every error rate is computed from score files alone (`report`), so a rate
can be corrected without running a model again. Liveness is higher for more live; a presentation without
liveness is a non-response and is counted, never guessed. What fits a model never sees the target domain.
"""
