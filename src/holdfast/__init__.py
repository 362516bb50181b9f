"""Holdfast: durable background work on the PostgreSQL an application already has."""
