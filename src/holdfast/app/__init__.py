"""The application's registry and front door, and the settings handed down to the rooms that it wires."""

from __future__ import annotations

from holdfast.app.application import Holdfast
from holdfast.app.handed_down import limits_of, worker_options
from holdfast.app.pages import ProjectPage
from holdfast.app.rooms import Rooms

__all__ = ["Holdfast", "ProjectPage", "Rooms", "limits_of", "worker_options"]
