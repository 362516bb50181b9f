"""The balancer that tests put before two processes really shares requests out, also on a kept connection."""

from __future__ import annotations

import asyncio

import httpx

from tests.browser.balancer import balancing, closing


async def answering(name: str) -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + name.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_requests_of_one_client_alternate() -> None:
    (first, one), (second, two) = await answering("one"), await answering("two")
    async with first, second, balancing([one, two]) as balancer, httpx.AsyncClient() as client:
        said = [(await client.get(balancer.url)).text for _ in range(4)]
        balancer.leave_out(one)
        alone = [(await client.get(balancer.url)).text for _ in range(2)]

    assert said == ["one", "two", "one", "two"]
    assert alone == ["two", "two"]


def test_a_request_asks_to_be_the_last_on_its_connection() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nconnection: keep-alive\r\n\r\n"

    assert closing(head) == b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
