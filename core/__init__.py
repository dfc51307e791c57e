"""Stateful domain, shared by API and workers; knows no HTTP and no Celery."""
