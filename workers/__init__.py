"""Celery workers: reconcilers bring desired state about through drivers."""
