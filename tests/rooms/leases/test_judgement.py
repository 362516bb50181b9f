"""Who is dead: worlds of workers, kills, outages, clock steps and pauses, played against the decision alone.

The law: nobody who lives is ever called dead, and everybody who was killed is, once the world is quiet. Deliberately
broken judgements show that the worlds can tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from holdfast.leases import Judgement, Limits, Seen, Verdict

LIMITS = Limits()
# The same with a quarter of the patience, so that a world is soon played.
HASTY = Limits(silence_seconds=15, silence_pooled_seconds=4, settle_seconds=4)
LOOK = LIMITS.observe_seconds
STEP = 0.1


def seen(worker: int = 1, *, beat: int = 0, session: bool = True, held: bool = True) -> Seen:
    return Seen(worker, beat, session, held, "host", f"process-{worker}")


def judgement(*, sees_sessions: bool = True, exists: bool | None = None, limits: Limits = LIMITS) -> Judgement:
    return Judgement(
        limits,
        look_seconds=LOOK if sees_sessions else LIMITS.observe_pooled_seconds,
        sees_sessions=sees_sessions,
        exists=lambda *_: exists,
    )


def watch(judge: Judgement, one: Seen, seconds: float, *, start: float = 0.0, age: float = 1e6) -> list[Verdict]:
    """Look at the same thing for so long; the verdicts of the last look."""
    verdicts: list[Verdict] = []
    for number in range(round(seconds / LOOK) + 1):
        at = start + number * LOOK
        verdicts = judge.look(at, age + at, [one])
    return verdicts


def test_a_proven_exit_is_dead_at_once() -> None:
    assert judgement(exists=False).look(0.0, 1e6, [seen(held=False)]) == [Verdict(1, "its process has ended")]


def test_an_exit_is_not_believed_while_the_session_stands() -> None:
    assert judgement(exists=False).look(0.0, 1e6, [seen(held=True)]) == []


def test_a_session_gone_is_dead_after_the_grace() -> None:
    judge = judgement()

    assert watch(judge, seen(), 3) == []
    assert watch(judge, seen(held=False), 0.8, start=3.2) == []
    assert watch(judge, seen(held=False), 0.4, start=4.2)


def test_a_session_that_comes_back_within_the_grace_starts_anew() -> None:
    judge = judgement()
    for start in range(0, 20, 2):
        assert watch(judge, seen(), 0.8, start=start) == []
        assert watch(judge, seen(held=False), 0.8, start=start + 1) == []


def test_nobody_is_missed_on_a_young_server() -> None:
    assert watch(judgement(), seen(held=False), 10, age=2) == []


def test_on_a_server_whose_clock_went_back_somebody_is_missed_all_the_same() -> None:
    assert watch(judgement(), seen(held=False), 20, age=-3600)


def test_silence_is_dead_after_its_limit() -> None:
    assert watch(judgement(), seen(), 59.6) == []
    assert watch(judgement(), seen(), 60.4)


def test_silence_without_a_session_is_dead_sooner() -> None:
    pooled = seen(session=False, held=False)

    assert watch(judgement(), pooled, 14.6) == []
    assert watch(judgement(), pooled, 15.4)


def test_an_observer_without_a_session_misses_no_sessions() -> None:
    assert watch(judgement(sees_sessions=False), seen(held=False), 30) == []


def test_a_break_forgets_the_silence_before_it() -> None:
    judge = judgement()

    assert watch(judge, seen(), 59) == []
    judge.interrupted()
    assert watch(judge, seen(), 59, start=60) == []


def test_a_pause_of_the_observer_forgets_the_silence_before_it() -> None:
    judge = judgement()

    assert watch(judge, seen(), 59) == []
    assert watch(judge, seen(), 59, start=400) == []


def test_a_verdict_is_repeated_until_the_worker_is_gone() -> None:
    judge = judgement(exists=False)

    assert judge.look(0.0, 1e6, [seen(held=False)])
    assert judge.look(0.2, 1e6, [seen(held=False)])
    assert judge.look(0.4, 1e6, []) == []


@dataclasses.dataclass(frozen=True)
class World:
    """What happens, each (from, for) seconds: the server is down, the observer does not run, nobody runs.

    And when the server's clock jumps, by how much.
    """

    workers: tuple[Worker, ...]
    outages: tuple[tuple[float, float], ...] = ()
    pauses: tuple[tuple[float, float], ...] = ()
    sleeps: tuple[tuple[float, float], ...] = ()
    clock_steps: tuple[tuple[float, float], ...] = ()
    seconds: float = 65.0


@dataclasses.dataclass(frozen=True)
class Worker:
    beat_seconds: float
    session: bool
    # Times at which its session is cut, each time coming back after `back_seconds`.
    cuts: tuple[float, ...]
    back_seconds: float
    killed_at: float | None


def down(spans: Iterable[tuple[float, float]], at: float) -> bool:
    return any(start <= at < start + length for start, length in spans)


@dataclasses.dataclass
class Player:
    """Plays a world and collects the verdicts, with the time at which each was given first."""

    world: World
    judge: Judgement
    dead: dict[int, float] = dataclasses.field(default_factory=dict)

    def play(self) -> dict[int, float]:
        beats = dict.fromkeys(range(len(self.world.workers)), 0)
        next_beat = dict.fromkeys(beats, 0.0)
        missing_until = dict.fromkeys(beats, 0.0)
        was_down, connected, look_at, born = False, True, 0.0, -1000.0
        for tick in range(round(self.world.seconds / STEP)):
            at = tick * STEP
            is_down, asleep = down(self.world.outages, at), down(self.world.sleeps, at)
            if was_down and not is_down:
                born = at
            # The observer first: when all wake up it must not be unjust to those who are slower.
            if not asleep and not down(self.world.pauses, at) and at >= look_at:
                look_at = at + LOOK
                connected = self._look(at, born, connected, is_down, beats, missing_until)
            for number, worker in enumerate(self.world.workers):
                alive = worker.killed_at is None or at < worker.killed_at
                if is_down or any(abs(at - cut) < STEP / 2 for cut in worker.cuts) or not alive:
                    missing_until[number] = at + worker.back_seconds if alive else float("inf")
                if alive and not is_down and not asleep and at >= next_beat[number] and at >= missing_until[number]:
                    beats[number] += 1
                    next_beat[number] = at + worker.beat_seconds
            was_down = is_down
        return self.dead

    def _look(
        self,
        at: float,
        born: float,
        connected: bool,  # noqa: FBT001
        is_down: bool,  # noqa: FBT001
        beats: dict[int, int],
        missing_until: dict[int, float],
    ) -> bool:
        if is_down:
            if connected:
                self.judge.interrupted()
            return False
        stepped = sum(step for when, step in self.world.clock_steps if when <= at)
        looks = [
            seen(
                number, beat=beats[number], session=worker.session, held=worker.session and at >= missing_until[number]
            )
            for number, worker in enumerate(self.world.workers)
            if number not in self.dead
        ]
        for verdict in self.judge.look(at, at - born + stepped, looks):
            self.dead.setdefault(verdict.worker, at)
        return True


def played(world: World, judge: Judgement | None = None) -> tuple[list[int], list[int]]:
    """Play it: those who lived and were called dead, and those who were killed and were not."""
    dead = Player(world, judge or judgement(limits=HASTY)).play()
    murdered = [
        number
        for number, at in dead.items()
        if (killed_at := world.workers[number].killed_at) is None or at < killed_at
    ]
    undead = [
        number for number, worker in enumerate(world.workers) if worker.killed_at is not None and number not in dead
    ]
    return murdered, undead


def spans(longest: float) -> st.SearchStrategy[tuple[tuple[float, float], ...]]:
    # The last 25 s are quiet: in them everybody killed must be found.
    span = st.tuples(st.floats(2, 30), st.floats(0.3, longest)).map(lambda one: (one[0], min(one[1], 38 - one[0])))
    return st.lists(span, max_size=2).map(tuple)


def apart(cuts: list[float]) -> tuple[float, ...]:
    """Cut again before anybody has seen it back, a session is gone for longer than the grace: that is no short cut."""
    kept: list[float] = []
    for cut in sorted(cuts):
        if not kept or cut - kept[-1] >= 2 * LIMITS.session_grace_seconds:
            kept.append(cut)
    return tuple(kept)


workers = st.builds(
    Worker,
    beat_seconds=st.floats(0.3, 1),
    session=st.booleans(),
    cuts=st.lists(st.floats(1, 60), max_size=3).map(apart),
    back_seconds=st.floats(0, 0.7),
    killed_at=st.none() | st.floats(1, 38),
)
worlds = st.builds(
    World,
    workers=st.lists(workers, min_size=1, max_size=3).map(tuple),
    outages=spans(30),
    pauses=spans(30),
    sleeps=spans(30),
    clock_steps=st.lists(st.tuples(st.floats(1, 38), st.sampled_from([-3600.0, -1.0, 1.0, 3600.0])), max_size=2).map(
        tuple
    ),
)


@settings(max_examples=60)
@given(worlds)
def test_only_the_killed_are_dead_and_all_of_them(world: World) -> None:
    assert played(world) == ([], [])


def test_the_server_down_for_five_minutes_kills_nobody() -> None:
    everybody = tuple(Worker(2.0, session, (), 0.6, None) for session in (True, True, False))

    assert played(World(everybody, outages=((20.0, 300.0),), seconds=500.0)) == ([], [])


class NeverForgets(Judgement):
    """Broken: a break of the observation changes nothing."""

    def interrupted(self) -> None:
        pass

    def _watch_anew(self) -> None:
        pass


class CountsSleep(Judgement):
    """Broken: time in which nobody looked counts like time in which somebody did."""

    def look(self, at: float, server_age_seconds: float, seen: Iterable[Seen]) -> list[Verdict]:
        self._counts_at_most = self._break_seconds = float("inf")
        return super().look(at, server_age_seconds, seen)


class CountsOutages(CountsSleep):
    """Broken: the same, and neither a lost connection nor a server that has just started is a break."""

    def interrupted(self) -> None:
        pass

    def _advance(self, at: float, server_age: float) -> None:
        super()._advance(at, 0.0)


class MissesAtOnce(Judgement):
    """Broken: no patience with sessions after a restart."""

    def _settled(self, server_age: float) -> bool:
        return True


class ComparesTimestamps(Judgement):
    """Broken: asks how old the last beat is by the server's clock."""

    def look(self, at: float, server_age_seconds: float, seen: Iterable[Seen]) -> list[Verdict]:
        ages = self.__dict__.setdefault("ages", {})
        verdicts = []
        for one in seen:
            beat, since = ages.get(one.worker, (None, 0.0))
            if beat != one.beat:
                ages[one.worker] = (one.beat, since := server_age_seconds)
            if server_age_seconds - since > HASTY.silence_of(has_session=one.has_session):
                verdicts.append(Verdict(one.worker, "its last beat is old"))
        return verdicts


class NeverMisses(Judgement):
    """Broken: nobody ever dies."""

    def _judge(self, one: Seen, watched: object, *, settled: bool) -> str | None:
        return None


@pytest.mark.parametrize("broken", [CountsSleep, CountsOutages, ComparesTimestamps, NeverMisses])
def test_a_broken_judgement_is_caught(broken: type[Judgement]) -> None:
    def caught(world: World) -> bool:
        judge = broken(HASTY, look_seconds=LOOK, sees_sessions=True, exists=lambda *_: None)
        return played(world, judge) != ([], [])

    quickly = settings(max_examples=1000, database=None, derandomize=True, phases=[Phase.generate])
    assert played(find(worlds, caught, settings=quickly)) == ([], [])


def test_memory_across_a_break_is_caught() -> None:
    judge = NeverForgets(LIMITS, look_seconds=LOOK, sees_sessions=True, exists=lambda *_: None)
    watch(judge, seen(), 59)
    judge.interrupted()

    assert watch(judge, seen(), 59, start=60)


def test_impatience_after_a_restart_is_caught() -> None:
    late = Worker(2.0, session=True, cuts=(), back_seconds=3.0, killed_at=None)
    world = World((late,), outages=((20.0, 10.0),))

    assert played(world) == ([], [])
    assert played(world, MissesAtOnce(HASTY, look_seconds=LOOK, sees_sessions=True, exists=lambda *_: None))[0] == [0]
