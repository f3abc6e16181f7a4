"""One file per endpoint family, each with its `router`; `despoof.service.app` lists them."""
