"""Standing guards over the schema: what migrations make is what the models say, and every migration can be undone."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from core.db.engine import parse_url
from core.errors import DatabaseUnreachable, SchemaOutdated, SchemaTooNew
from core.models import Base
from migrations import runner
from tests.support.postgres import PostgresServer


def tables(url: str) -> set[str]:
    engine = create_engine(parse_url(url), poolclass=NullPool)
    return set(inspect(engine).get_table_names())


def revisions() -> list[str]:
    """Oldest first."""
    return [script.revision for script in runner.scripts().walk_revisions()][::-1]


def test_models_and_migrated_schema_are_the_same(new_database_url: Callable[..., str]) -> None:
    engine = create_engine(parse_url(new_database_url()), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, Base.metadata)
    assert differences == []


def test_history_is_one_line() -> None:
    scripts = runner.scripts()

    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    assert not any(script.is_merge_point or script.is_branch_point for script in scripts.walk_revisions())


def test_every_migration_goes_up_down_up(new_database_url: Callable[..., str]) -> None:
    url = new_database_url(migrated=False)
    for revision in revisions():
        before = tables(url)
        runner.upgrade(url, revision)
        there = tables(url)
        runner.downgrade(url, "-1")
        assert tables(url) - {"alembic_version"} == before - {"alembic_version"}
        runner.upgrade(url, revision)
        assert tables(url) == there
    runner.check(url)
    runner.downgrade(url, "base")
    assert tables(url) <= {"alembic_version"}


def test_upgrade_twice_changes_nothing(new_database_url: Callable[..., str]) -> None:
    url = new_database_url()

    assert runner.upgrade(url) == runner.head()


def test_databases_of_one_cluster_at_once() -> None:
    """The roles belong to the cluster: migrations of several databases meet there; two of one database take turns."""
    with PostgresServer() as fresh:
        urls = [fresh.create_database(f"fresh_{number}") for number in range(4)]
        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
            results = list(processes.map(runner.upgrade, urls * 2))
    assert results == [runner.head()] * 8


class TestRefusals:
    def test_database_of_a_newer_version(self, new_database_url: Callable[..., str]) -> None:
        url = new_database_url()
        engine = create_engine(parse_url(url), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = '9999'"))

        for act in (runner.upgrade, runner.check):
            with pytest.raises(SchemaTooNew, match=r"9999, newer than this version"):
                act(url)

    def test_database_without_migrations(self, new_database_url: Callable[..., str]) -> None:
        with pytest.raises(SchemaOutdated, match="sluice migrate"):
            runner.check(new_database_url(migrated=False))

    def test_no_database(self) -> None:
        with pytest.raises(DatabaseUnreachable) as raised:
            runner.upgrade("postgresql://nobody:hunter2@127.0.0.1:1/none")
        assert "hunter2" not in str(raised.value)
        assert "\n" not in str(raised.value)
