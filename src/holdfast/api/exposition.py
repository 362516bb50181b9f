"""``/metrics``: what Prometheus scrapes."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from holdfast.access import Permission
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.nouns.stream import hub_of
from holdfast.observe import metrics

router = NounRouter("metrics")


@router.read("/metrics", needs=Permission.METRICS_READ, response_class=Response, include_in_schema=False)
async def show_metrics(asking: Asking) -> Response:
    """Figures of the whole database, at most five seconds old: scrape one process of an installation."""
    state = asking.request.app.state
    made: metrics.Metrics | None = getattr(state, "metrics", None)
    if made is None:
        made = state.metrics = metrics.Metrics(asking.database)
    listening = {"sse_clients": ("Browsers that listen to this process", float(hub_of(asking.request).count))}
    return Response(await made.text(listening), media_type=CONTENT_TYPE_PLAIN_0_0_4)
