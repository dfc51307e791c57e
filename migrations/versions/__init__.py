"""One file per migration, in a single line of descent."""
