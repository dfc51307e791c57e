"""Control plane groups: the configurations of several control planes as one, for gateways that serve them together."""
