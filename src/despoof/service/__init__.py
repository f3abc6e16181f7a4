"""The pipeline over HTTP: bytes of an image -> `CheckResponse`, whose liveness is higher for more live.

In goes nothing but bytes: no address, no path, no file name. Out comes the score contract of `Verdict` with
versions and a request id. Whatever is not judged is NO_DECISION or an error status, and never LIVE.
"""
