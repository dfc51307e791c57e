"""Limits under load: no more passes than may, whoever counts."""
