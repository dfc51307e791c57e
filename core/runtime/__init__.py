"""The control plane's side of gateway runtimes: who they are, what they are given, what they report."""
