"""Health of upstreams' targets: what runtimes report, how it is summed up, and orders that overrule them."""
