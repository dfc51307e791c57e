"""Schema migrations: `migrations.runner.upgrade(url)` brings a database to what this version needs."""
