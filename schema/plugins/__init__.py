"""One file per plugin: its configuration and the facts about it."""
