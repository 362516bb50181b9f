"""Python eventsourcing: its PostgreSQL recorder called directly, without mapper and aggregates; a thread a writer.

It appends on a connection of its own, so other work cannot be in the same transaction: it is done beside.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from urllib.parse import parse_qs, urlsplit

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment
from measure import PAYLOAD, STREAMS, Window, options


def factory(dsn: str, writers: int, *, create: bool) -> PostgresFactory:
    parts, query = urlsplit(dsn), parse_qs(urlsplit(dsn).query)
    where = query.get("host", [parts.hostname])[0]
    settings = {
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": where,
        "POSTGRES_PORT": str(query.get("port", [parts.port or 5432])[0]),
        "POSTGRES_USER": parts.username or query.get("user", [""])[0],
        "POSTGRES_PASSWORD": parts.password or query.get("password", ["unused"])[0],
        "POSTGRES_POOL_SIZE": str(writers),
        "POSTGRES_MAX_OVERFLOW": "0",
        "CREATE_TABLE": "y" if create else "n",
    }
    return PostgresFactory(Environment(name="bench", env={**os.environ, **settings}))


def main() -> None:
    asked = options()
    recorder = factory(asked.dsn, asked.writers, create=asked.prepare).application_recorder()
    if asked.prepare:
        return
    window, state = Window(asked), json.dumps(PAYLOAD).encode()

    def write() -> None:
        ids, versions = [uuid.uuid4() for _ in range(STREAMS)], [0] * STREAMS
        window.wait(time.sleep)
        number = 0
        while window.open:
            number += 1
            which = number % STREAMS
            events = [
                StoredEvent(ids[which], versions[which] + n, "shop:OrderPlaced", state) for n in range(asked.batch)
            ]
            versions[which] += asked.batch
            recorder.insert_events(events)
            if asked.work_ms:
                time.sleep(asked.work_ms / 1000)
            window.count(asked.batch)

    threads = [threading.Thread(target=write) for _ in range(asked.writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    window.answer()


main()
