"""PG Atlas on Holdfast: installed packages and git histories become jobs, metrics, a table and a picture."""
