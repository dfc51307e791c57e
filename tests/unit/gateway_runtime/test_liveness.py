"""When silence means that a process hangs."""

import pytest

from gateway_runtime.liveness import Liveness, Patience

PATIENCE = Patience(every_seconds=3, misses=5, start_seconds=60)


class Subject:
    """A process that answers or not, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.answers = True
        self.asked = 0
        self.liveness = Liveness(self.probe, PATIENCE, clock=lambda: self.now)

    def probe(self) -> bool:
        self.asked += 1
        return self.answers

    def live(self, seconds: float) -> None:
        """Let time pass as the watchdog does, in sleeps that may end early."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + min(1.0, max(self.liveness.due_seconds, 0.1)))
            self.liveness.check()


@pytest.fixture
def subject() -> Subject:
    return Subject()


def test_is_asked_now_and_then(subject: Subject) -> None:
    subject.live(30)

    assert subject.asked == 10
    assert not subject.liveness.hung


def test_silence_for_long_is_a_hang(subject: Subject) -> None:
    subject.live(10)
    subject.answers = False
    subject.live(13)
    assert not subject.liveness.hung
    subject.live(4)
    assert subject.liveness.hung


def test_one_answer_is_enough(subject: Subject) -> None:
    subject.live(10)
    for _ in range(5):
        subject.answers = False
        subject.live(12)
        subject.answers = True
        subject.live(3)
    assert not subject.liveness.hung


def test_before_its_first_answer_it_has_more_time(subject: Subject) -> None:
    subject.answers = False
    subject.live(59)
    assert not subject.liveness.hung
    subject.live(2)
    assert subject.liveness.hung
