"""One gateway process: a Python agent around the Rust engine that carries the traffic."""
