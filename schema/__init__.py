"""Pure declarations, no I/O: which entities and plugins exist and what is valid."""
