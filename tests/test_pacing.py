"""Back-off is a date: how far away, and when it is lifted."""

from __future__ import annotations

from typing import Any, List

import pytest

from agentmonitor_logging._pacing import Pacing


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pacing(clock: Clock, retry_attempts: int = 3, random: float = 0.5) -> Pacing:
    return Pacing(retry_attempts, clock=clock, random=lambda: random)


def waits(subject: Pacing, clock: Clock, failures: int) -> List[float]:
    """Fail *failures* times, each as soon as it is allowed; return the waits."""
    result = []
    for _ in range(failures):
        subject.failed()
        result.append(subject.wait())
        clock.now += subject.wait()
    return result


def test_the_waits_double_up_to_a_minute(clock: Clock) -> None:
    """The waits are 1, 2, 4 … seconds and never more than 60."""
    expected = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]

    assert expected == waits(pacing(clock), clock, 9)


def test_a_very_long_outage_does_not_overflow(clock: Clock) -> None:
    """After thousands of failures the wait is still a minute."""
    assert 60.0 == waits(pacing(clock), clock, 5000)[-1]


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.8), (0.999999, 1.2)])
def test_the_waits_are_jittered(clock: Clock, random: float, factor: float) -> None:
    """A fleet does not return in step: waits spread by a fifth, up or down."""
    first = waits(pacing(clock, random=random), clock, 2)

    assert [factor, 2 * factor] == [pytest.approx(wait, abs=1e-3) for wait in first]


def test_jitter_does_not_exceed_the_longest_wait(clock: Clock) -> None:
    """A minute is the most even with jitter."""
    assert 60.0 == waits(pacing(clock, random=0.99), clock, 9)[-1]


def test_a_longer_retry_after_wins(clock: Clock) -> None:
    """What the server asks for is not undercut, and does not shorten the back-off."""
    subject = pacing(clock)
    subject.failed(7.0)

    assert 7.0 == subject.wait()


def test_one_wave_is_one_failure(clock: Clock) -> None:
    """Requests that fail together count once, so that none pauses delivery early."""
    subject = pacing(clock, retry_attempts=1)
    told = [subject.failed() for _ in range(4)]

    assert [False] * 4 == told
    assert 1 == subject.failures


def test_a_retry_after_in_the_same_wave_extends_the_wait(clock: Clock) -> None:
    """The longest Retry-After of a wave counts."""
    subject = pacing(clock)
    subject.failed()
    subject.failed(9.0)

    assert 9.0 == subject.wait()


def test_the_pause_is_told_once(clock: Clock) -> None:
    """failed() says that delivery pauses exactly once, after the allowed tries."""
    subject = pacing(clock, retry_attempts=2)
    told: List[Any] = []
    for _ in range(6):
        told.append(subject.failed())
        clock.now += subject.wait()

    assert [False, False, True, False, False, False] == told


def test_a_refusal_pauses_at_once(clock: Clock) -> None:
    """A wrong key needs no second opinion."""
    subject = pacing(clock, retry_attempts=10)

    assert subject.refused()
    assert not subject.refused()
    assert subject.paused


def test_success_lifts_everything(clock: Clock) -> None:
    """After a success the next failure waits a second again, and may be told again."""
    subject = pacing(clock, retry_attempts=0)
    assert subject.failed()
    subject.succeeded()

    assert subject.healthy
    assert 0.0 == subject.wait()
    assert subject.failed()


def test_bringing_forward_allows_one_try_without_forgiving(clock: Clock) -> None:
    """A flush may try at once; if that fails, the back-off goes on where it was."""
    subject = pacing(clock)
    waits(subject, clock, 3)
    subject.failed()
    subject.bring_forward()

    assert 0.0 == subject.wait()
    subject.failed()
    assert 16.0 == subject.wait()


def test_bringing_forward_does_not_undercut_the_server(clock: Clock) -> None:
    """What the server asked for holds for a flush, too, until it has passed."""
    subject = pacing(clock)
    subject.failed(retry_after=30.0)
    subject.bring_forward()
    assert 30.0 == subject.wait()

    clock.now += 30.0
    subject.failed()
    subject.bring_forward()
    assert 0.0 == subject.wait()
