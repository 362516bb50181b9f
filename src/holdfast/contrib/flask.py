"""Holdfast beside Flask: its configuration names the database, and tasks run in its application context."""

from __future__ import annotations

from flask import Flask

from holdfast.app import Holdfast


def init_app(web: Flask, app: Holdfast) -> None:
    """Join the two: ``init_app(web, app)``, once, in the module or factory that makes the Flask application.

    ``HOLDFAST_DATABASE_URL`` of its configuration, or else ``SQLALCHEMY_DATABASE_URI``, becomes the database; without
    either it stays as it was chosen. Every task runs inside ``web.app_context()``, so that ``current_app`` and
    Flask-SQLAlchemy's ``db.session`` work in it. The application is found again as ``web.extensions["holdfast"]``.
    """
    url = web.config.get("HOLDFAST_DATABASE_URL") or web.config.get("SQLALCHEMY_DATABASE_URI")
    if url:
        scheme, colon, rest = str(url).partition("://")
        app.configure(f"{scheme.partition('+')[0]}{colon}{rest}")
    app.around(web.app_context)
    web.extensions["holdfast"] = app
