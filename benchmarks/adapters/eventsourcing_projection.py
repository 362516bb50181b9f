"""Catch-up of a projection of Python eventsourcing: python eventsourcing_projection.py DSN EVENTS prints JSON.

Its own way: one transaction per event that upserts the row and the tracking record together.
"""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner

STREAMS = 1000
UPSERT = (
    "INSERT INTO es_balance (account, n, last) VALUES (%s, 1, %s) "
    "ON CONFLICT (account) DO UPDATE SET n = es_balance.n + 1, last = EXCLUDED.last"
)


class Account(Aggregate):
    def __init__(self, number: int) -> None:
        self.number = number
        self.amount = 0

    @staticmethod
    def create_id(number: int) -> object:
        return uuid5(NAMESPACE_URL, str(number))

    @event("Deposited")
    def deposit(self, amount: int, note: str) -> None:
        self.amount += amount


class Bank(Application):
    pass


class Balances(PostgresTrackingRecorder):
    def create_table(self) -> None:
        super().create_table()
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS es_balance (account text PRIMARY KEY, n bigint, last bigint)")

    def upsert(self, account: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(UPSERT, (account, tracking.notification_id))
            self._insert_tracking(cursor, tracking)


class Upserting(Projection[Balances]):
    name = "upserting"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        self.view.upsert(str(domain_event.originator_id), tracking)


def environment(dsn: str) -> dict[str, str]:
    parts = urlsplit(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port or 5432),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": parts.password or "",
    }


def main() -> None:
    dsn, events = sys.argv[1], int(sys.argv[2])
    settings = environment(dsn)
    bank = Bank(env=settings)
    accounts = [Account(number) for number in range(STREAMS)]
    for start in range(0, events - STREAMS, STREAMS):
        for account in accounts[: min(STREAMS, events - STREAMS - start)]:
            account.deposit(1, "x" * 60)
    for start in range(0, STREAMS, 50):
        bank.save(*accounts[start : start + 50])
    total = bank.recorder.max_notification_id()
    begun = time.monotonic()
    with ProjectionRunner(
        application_class=Bank, projection_class=Upserting, view_class=Balances, env=settings
    ) as runner:
        runner.wait(total, timeout=300)
        took = time.monotonic() - begun
    print(json.dumps({"events_per_second": total / took, "events": total}))


if __name__ == "__main__":
    main()
