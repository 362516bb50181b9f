"""Projections: ordered readers of the log, shared out among any number of processes, each effect committed once."""

from __future__ import annotations

from holdfast.events.projections.console import ParkedStream, PartitionLag, ProjectionInfo, Projections
from holdfast.events.projections.declaration import (
    DEFAULT_BATCH,
    DEFAULT_RETRY,
    PARTITIONS,
    OnFailure,
    Projection,
)
from holdfast.events.projections.delivery import Delivery
from holdfast.events.projections.health import DEFAULT_THRESHOLD, Health, judge, unreachable
from holdfast.events.projections.projector import FixedPartitions, Projector, ProjectorOptions
from holdfast.events.projections.registry import DeclaredProjection, Names, Registry, Types
from holdfast.events.projections.service import ProjectionService, Projectors, fixed_partitions, serving_apart

__all__ = [
    "DEFAULT_BATCH",
    "DEFAULT_RETRY",
    "DEFAULT_THRESHOLD",
    "PARTITIONS",
    "DeclaredProjection",
    "Delivery",
    "FixedPartitions",
    "Health",
    "Names",
    "OnFailure",
    "ParkedStream",
    "PartitionLag",
    "Projection",
    "ProjectionInfo",
    "ProjectionService",
    "Projections",
    "Projector",
    "ProjectorOptions",
    "Projectors",
    "Registry",
    "Types",
    "fixed_partitions",
    "judge",
    "serving_apart",
    "unreachable",
]
