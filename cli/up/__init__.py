"""`sluice up`: everything on one machine, supervised in the foreground."""
