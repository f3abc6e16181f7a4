"""One file per endpoint family, each with its `router`; `despoof.service.app` lists them.

A new family (say a video check) is a file here, its line in `app.ROUTERS`, its test and a line in docs/service.md.
"""
