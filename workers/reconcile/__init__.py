"""Reconcilers: compare what is wanted with what is, and take the steps between."""
