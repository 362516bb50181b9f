"""Fingerprints of sources: pages, files, functions. Real HTTP on loopback; no PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError
from holdfast.schedules import FileProbe, HttpProbe
from holdfast.schedules.probe import fingerprint_of, probe_name


class Source(ThreadingHTTPServer):
    """A page whose headers a test chooses."""

    answers: dict[str, str]
    status = 200
    asked: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.csv"


class Handler(BaseHTTPRequestHandler):
    server: Source

    def do_HEAD(self) -> None:
        self.server.asked.append(self.headers.get("X-Key", ""))
        self.send_response(self.server.status)
        for name, value in self.server.answers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[Source]:
    server = Source(("127.0.0.1", 0), Handler)
    server.answers, server.asked = {}, []
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    yield server
    server.shutdown()
    server.server_close()


async def test_a_page_is_known_by_its_etag_before_anything_else(source: Source) -> None:
    probe = HttpProbe(source.url, headers={"X-Key": "secret"})
    source.answers = {"ETag": 'W/"a1"', "Content-Length": "10"}
    first = await fingerprint_of(probe, 5)
    source.answers = {"ETag": '"a1"', "Content-Length": "11"}

    assert await fingerprint_of(probe, 5) == first == 'etag "a1"'
    source.answers = {"ETag": '"a2"'}
    assert await fingerprint_of(probe, 5) != first
    assert source.asked == ["secret"] * 3


async def test_a_page_without_etag_is_known_by_its_date_and_size_and_one_without_any_is_not_known(
    source: Source,
) -> None:
    probe = HttpProbe(source.url)
    source.answers = {"Last-Modified": "Mon, 01 Jun 2026 07:00:00 GMT", "Content-Length": "10"}
    assert await fingerprint_of(probe, 5) == "changed Mon, 01 Jun 2026 07:00:00 GMT size 10"
    source.answers = {"Content-Length": "10"}
    assert await fingerprint_of(probe, 5) == "changed - size 10"
    source.answers = {}
    assert await fingerprint_of(probe, 5) is None


async def test_a_page_that_is_not_there_is_an_error(source: Source) -> None:
    source.status = 404
    with pytest.raises(OSError, match="404"):
        await fingerprint_of(HttpProbe(source.url), 5)


def test_other_kinds_of_urls_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="http"):
        HttpProbe("file:///etc/passwd")


async def test_a_file_is_known_by_its_date_and_size(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    assert await fingerprint_of(FileProbe(path), 5) is None
    path.write_text("a")
    first = await fingerprint_of(FileProbe(path), 5)
    path.write_text("ab")

    assert first is not None
    assert await fingerprint_of(FileProbe(path), 5) != first


async def test_functions_of_every_kind_may_answer_anything() -> None:
    async def release() -> int:
        return 7

    assert await fingerprint_of(release, 5) == "7"
    assert await fingerprint_of(lambda: ("v", 2), 5) == "('v', 2)"
    assert await fingerprint_of(lambda: None, 5) is None
    assert (await fingerprint_of(lambda: b"page", 5) or "").startswith("sha256 ")
    assert (await fingerprint_of(lambda: "x" * 5000, 5) or "").startswith("sha256 ")


async def test_a_source_that_does_not_answer_is_given_up() -> None:
    done = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            await fingerprint_of(done.wait, 0.05)
    finally:
        done.set()


def test_people_are_told_what_is_asked() -> None:
    assert probe_name(HttpProbe("https://example.org/x")) == "HEAD https://example.org/x"
    assert probe_name(FileProbe("/data/x")) == "file /data/x"
    assert probe_name(test_people_are_told_what_is_asked) == "test_people_are_told_what_is_asked"
