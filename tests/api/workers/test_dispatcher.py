"""The outbox's dispatcher over a real database."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from core.db.engine import Database
from core.db.notices import PostgresNotices
from core.db.outbox import Outbox
from core.models import OutboxMessage
from tests.support.clock import ManualClock
from workers.dispatcher import BATCH, BrokerUnreachable, Dispatcher


class Broker:
    """Takes jobs, unless it is down; `on_send` runs in between."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, UUID, UUID]] = []
        self.down = False
        self.hated: set[str] = set()
        self.on_send: Callable[[], object] = lambda: None

    def send(self, topic: str, org_id: UUID, subject_id: UUID) -> None:
        self.on_send()
        if self.down:
            raise BrokerUnreachable
        if topic in self.hated:
            raise KeyError(topic)
        self.jobs.append((topic, org_id, subject_id))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def dispatcher(own_database: Database, broker: Broker) -> Dispatcher:
    return Dispatcher(own_database, PostgresNotices(own_database.url), broker.send)


@pytest.fixture
def put(own_database: Database) -> Callable[..., UUID]:
    org_id = uuid4()

    def one(topic: str = "a.b", subject_id: UUID | None = None) -> UUID:
        subject = subject_id or uuid4()
        with own_database.system() as session:
            Outbox(session).put(topic, org_id, subject)
        return subject

    return one


def waiting(database: Database) -> list[OutboxMessage]:
    with database.system() as session:
        return list(session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)))


def test_jobs_go_out_in_order_and_once(
    own_database: Database, dispatcher: Dispatcher, broker: Broker, put: Callable[..., UUID]
) -> None:
    subjects = [put() for _ in range(5)]

    assert dispatcher.dispatch_batch() == 5

    assert [job[2] for job in broker.jobs] == subjects
    assert waiting(own_database) == []
    assert dispatcher.dispatch_batch() == 0


def test_equal_jobs_are_one(
    dispatcher: Dispatcher, broker: Broker, put: Callable[..., UUID], own_database: Database
) -> None:
    subject = put()
    put(subject_id=subject)
    put("c.d", subject)

    assert dispatcher.dispatch_batch() == 3

    assert [job[0] for job in broker.jobs] == ["a.b", "c.d"]
    assert waiting(own_database) == []


def test_a_broker_that_is_down_costs_time_only(
    dispatcher: Dispatcher, broker: Broker, put: Callable[..., UUID], own_database: Database
) -> None:
    subjects = [put(), put()]
    broker.down = True
    tries = 0

    def count() -> None:
        nonlocal tries
        tries += 1

    broker.on_send = count
    for _ in range(3):
        assert dispatcher.dispatch_batch() == 0
    assert tries == 3, "one try per batch: each may cost a time-out"
    assert [row.attempts for row in waiting(own_database)] == [0, 0]
    broker.down = False

    assert dispatcher.dispatch_batch() == 2

    assert [job[2] for job in broker.jobs] == subjects
    assert waiting(own_database) == []


def test_a_job_that_always_fails_steps_aside(
    dispatcher: Dispatcher, broker: Broker, put: Callable[..., UUID], own_database: Database
) -> None:
    broker.hated = {"no.such"}
    put("no.such")
    good = put()

    for attempts in (1, 2, 3):
        assert dispatcher.dispatch_batch() >= 1
        (row,) = waiting(own_database)
        assert row.attempts == attempts
        assert dispatcher.dispatch_batch() == 0
        with own_database.system() as session:
            session.connection().exec_driver_sql("update outbox set available_at = now()")

    assert [job[2] for job in broker.jobs] == [good]


def test_a_hosts_wrong_clock_delays_nothing(
    dispatcher: Dispatcher, broker: Broker, put: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = ManualClock()
    ahead.advance(hours=1)
    monkeypatch.setattr("core.clock.SystemClock.now", lambda _clock: ahead.now())
    subject = put()

    assert dispatcher.dispatch_batch() == 1

    assert [job[2] for job in broker.jobs] == [subject]


def test_rolled_back_jobs_never_happened(dispatcher: Dispatcher, broker: Broker, own_database: Database) -> None:
    with suppress(RuntimeError), own_database.system() as session:
        Outbox(session).put("a.b", uuid4(), uuid4())
        raise RuntimeError

    assert dispatcher.dispatch_batch() == 0
    assert broker.jobs == []


def test_two_dispatchers_do_not_take_the_same_row(
    own_database: Database, dispatcher: Dispatcher, broker: Broker, put: Callable[..., UUID]
) -> None:
    put()
    other = Dispatcher(own_database, PostgresNotices(own_database.url), broker.send)
    seen: list[int] = []
    broker.on_send = lambda: (setattr(broker, "on_send", lambda: None), seen.append(other.dispatch_batch()))

    dispatcher.dispatch_batch()

    assert seen == [0]
    assert len(broker.jobs) == 1


def test_dying_between_hand_over_and_commit_hands_over_again(
    own_database: Database, broker: Broker, put: Callable[..., UUID]
) -> None:
    subject = put()

    def send_and_die(topic: str, org_id: UUID, subject_id: UUID) -> None:
        broker.send(topic, org_id, subject_id)
        raise SystemExit

    dying = Dispatcher(own_database, PostgresNotices(own_database.url), send_and_die)
    with pytest.raises(SystemExit):
        dying.dispatch_batch()

    Dispatcher(own_database, PostgresNotices(own_database.url), broker.send).dispatch_batch()

    assert [job[2] for job in broker.jobs] == [subject, subject]


def test_more_than_a_batch_is_worked_off(own_database: Database, dispatcher: Dispatcher) -> None:
    with own_database.system() as session:
        for _ in range(BATCH + 1):
            Outbox(session).put("a.b", uuid4(), uuid4())

    assert dispatcher.dispatch_batch() == BATCH
    assert dispatcher.dispatch_batch() == 1


@pytest.fixture
def running(own_database: Database, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatcher]:
    # Without its poll, only notices can wake it.
    monkeypatch.setattr("workers.dispatcher.POLL_SECONDS", 3600.0)
    dispatcher = Dispatcher(own_database, PostgresNotices(own_database.url), broker.send)
    thread = threading.Thread(target=dispatcher.run, daemon=True)
    thread.start()
    yield dispatcher
    dispatcher.stop()
    with own_database.system() as session:
        Outbox(session).put("last.call", uuid4(), uuid4())  # it looks at its orders when something wakes it
    thread.join(10)
    assert not thread.is_alive()


def test_woken_by_the_commit(running: Dispatcher, broker: Broker, put: Callable[..., UUID]) -> None:
    del running
    put()
    until(lambda: len(broker.jobs) == 1)
    for number in range(2, 7):
        put()
        until(lambda number=number: len(broker.jobs) == number)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
