"""Drivers: how gateway runtimes come into being in one kind of environment."""
