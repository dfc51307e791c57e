"""Gateways of control planes: what is wanted where, and which runtimes are to serve it."""
