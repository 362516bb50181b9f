"""Integrations: one file each, imported only by those who have the other library.

Nobody needs to import one to enqueue in a transaction: ``db`` finds them by the entry points of the package.
"""
