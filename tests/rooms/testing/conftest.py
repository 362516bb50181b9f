"""An application to be tested, as a user of the kit would have one."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast, Job, Retry, Snooze, current_job


class Shop:
    """An application and what its tasks have done."""

    def __init__(self) -> None:
        app = self.app = Holdfast()
        self.done: list[Any] = []

        @app.task(queue="mail", retry=Retry(max_attempts=3, delay_seconds=3600, jitter=0))
        async def send_welcome(user_id: int, language: str = "en") -> str:
            self.done.append(user_id)
            if user_id == 13:
                raise ValueError("unlucky")
            return f"{language} {user_id}"

        @app.task
        def resize(image: str) -> int:
            current = current_job()
            assert current is not None
            self.done.append((image, current.task, current.attempt))
            send_welcome.enqueue_sync(len(image))
            return len(image)

        @app.task(transactional=True)
        async def settle(job: Job, order_id: int) -> None:
            async with job.transaction() as tx:
                await tx.execute("insert into public.settled values ($1)", order_id)
                await send_welcome.using(tx).enqueue(order_id)
                tx.result = {"settled": order_id}

        @app.task
        async def poll(left: int) -> Snooze | str:
            self.done.append(left)
            return Snooze(600) if len(self.done) < left else "there"

        self.send_welcome, self.resize, self.settle, self.poll = send_welcome, resize, settle, poll


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def holdfast_app(shop: Shop) -> Holdfast:
    return shop.app


@pytest.fixture(scope="session")
def holdfast_server_url(server: Any) -> str:
    """The session's own server: starting a second one would only take time. `test_plugin` starts one."""
    url: str = server.url
    return url
