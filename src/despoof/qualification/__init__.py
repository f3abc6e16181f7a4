"""Is this guard good enough on one camera? Recordings of it -> a verdict for each target, a page, and what to record.

`figures` holds every number and outcome, `page` says them, `sheet` is for the person who records. No certification.
"""
