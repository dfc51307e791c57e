"""One file per type of partial: a part of plugins' configurations that several of them share."""
