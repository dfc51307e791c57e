"""Control planes: the containers of gateway configuration."""
