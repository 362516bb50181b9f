"""How this installation is set up."""

from __future__ import annotations

from pydantic import BaseModel, Field

from holdfast.access import ROLES, Permission, Role
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter

router = NounRouter("settings")


class SettingOut(BaseModel):
    """One choice of the operator."""

    name: str
    value: str = Field(description="as text; passwords are masked")
    origin: str = Field(description="where it was taken from: a flag, a variable, a line of the file, or default")
    description: str


class RoleOut(BaseModel):
    """What a role permits."""

    name: str
    permissions: list[str]


class SettingsOut(BaseModel):
    """Every setting of the process that answers, and the roles."""

    settings: list[SettingOut]
    roles: list[RoleOut]


@router.read("/settings", needs=Permission.SETTINGS_READ)
async def show_settings(asking: Asking) -> SettingsOut:
    """Every setting with its origin, and what the roles permit. Passwords are masked."""
    settings = asking.app.settings
    fields = type(settings).model_fields
    return SettingsOut(
        settings=[
            SettingOut(
                name=name, value=value, origin=settings.origin_of(name), description=fields[name].description or ""
            )
            for name, value in settings.shown().items()
        ],
        roles=[RoleOut(name=role, permissions=sorted(ROLES[role])) for role in Role],
    )
