"""Live updates: one task a process looks at the database, and tells everybody who listens."""
