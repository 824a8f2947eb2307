"""More than one GPU, more than one machine: units of work on a Dask cluster.

A unit is named by what its result depends on, done at most once, and loses at most one interval
between two states on disk when its worker dies. Nothing here is imported without `--cluster`, and
Dask only where a cluster is reached.
"""
