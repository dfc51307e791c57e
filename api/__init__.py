"""The control plane's HTTP face: thin, every rule lives in `core` and `schema`."""
