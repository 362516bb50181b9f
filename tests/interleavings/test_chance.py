"""F1 left to chance: a completion and a rescue of one lease, thousands of times, whichever comes first.

The schedules of this folder decide who goes when; here random delays of a few milliseconds do, so that moments are met
that nobody has thought of. A few rounds in `make test`, ten thousand in `make soak`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.interleavings.broken_builds import COMPLETION_WITHOUT_LOCK, RESCUE_IN_ONE_STATEMENT
from tests.interleavings.stage import Mutation, Session, Stage
from tests.queue_calls import RETRY, lease_number

FEW, MANY = 60, 10_000
_LONGEST_DELAY_SECONDS = 0.004


class Chance:
    """One worker's session and one rescuer's, and the dice."""

    def __init__(self, stage: Stage, worker: Session, rescuer: Session, dice: random.Random) -> None:
        self.stage = stage
        self.worker = worker
        self.rescuer = rescuer
        self.dice = dice
        self.first = Counter[str]()

    @classmethod
    async def on(cls, stage: Stage, seed: int) -> Chance:
        worker, rescuer = await stage.sessions("worker", "rescuer")
        return cls(stage, worker, rescuer, random.Random(seed))

    async def play(self, rounds: int) -> None:
        """So many rounds; an early end when something was found."""
        for _ in range(rounds):
            await self._round()
            if self.stage.troubles:
                return

    async def _round(self) -> None:
        number = await self.worker.register()
        jobs = await self.worker.enqueue(3)
        lease = lease_number(number, 1)
        await self.worker.claim(number, lease)
        await self.rescuer.declare_dead(number)
        leaves = self.dice.random() < 0.5
        refused, _ = await asyncio.gather(self._let_go(lease, jobs[0], leaves=leaves), self._rescue(number))
        await self.rescuer.rescue(number)
        self.first["rescue" if refused else "completion"] += 1
        if refused:
            await self.stage.expect_places(ready=jobs)
        elif leaves:
            await self.stage.expect_places(scheduled=jobs[:1], ready=jobs[1:])
        else:
            await self.stage.expect_places(completed=jobs[:1], ready=jobs[1:])
        if self.first.total() % 20 == 0:  # so that the audit stays small
            await self.stage.watch.execute(
                "truncate holdfast.ready, holdfast.scheduled, holdfast.outcome, holdfast.job"
            )

    async def _let_go(self, lease: int, job: int, *, leaves: bool) -> bool:
        """Complete or retry the job in a transaction that stays open for a moment; returns whether it was refused."""
        await self._delay()
        await self.worker.begin()
        if leaves:
            refused = await self.worker.leave(lease, [job], RETRY, delay_seconds=60, attempt=2)
        else:
            refused = await self.worker.finish(lease, [job])
        await self._delay()
        await self.worker.commit()
        return bool(refused)

    async def _rescue(self, number: int) -> None:
        await self._delay()
        await self._delay()  # a completion takes longer to reach its lock
        await self.rescuer.begin()
        await self.rescuer.rescue(number)
        await self._delay()
        await self.rescuer.commit()

    async def _delay(self) -> None:
        """Chance decides, not a condition: that is what is being tried."""
        await asyncio.sleep(self.dice.random() * _LONGEST_DELAY_SECONDS)


async def test_whoever_comes_first_no_job_is_doubled_or_lost(database_url: str) -> None:
    async with Stage(database_url) as stage:
        chance = await Chance.on(stage, seed=1)
        await chance.play(FEW)

        assert stage.troubles == []
        assert set(chance.first) == {"completion", "rescue"}, "one order was never met"


@pytest.mark.soak
async def test_ten_thousand_times(database_url: str) -> None:
    async with Stage(database_url) as stage:
        chance = await Chance.on(stage, seed=random.randrange(1_000_000))
        await chance.play(MANY)

        assert stage.troubles == []
        assert min(chance.first.values()) > MANY / 100, chance.first


@pytest.mark.parametrize("broken", [RESCUE_IN_ONE_STATEMENT, COMPLETION_WITHOUT_LOCK], ids=str)
async def test_a_broken_build_is_met_by_chance(database_url: str, broken: Mutation) -> None:
    async with Stage(database_url) as stage:
        await stage.install(broken)
        chance = await Chance.on(stage, seed=1)
        await chance.play(10 * FEW)

        assert stage.troubles
