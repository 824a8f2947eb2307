"""A Slurm job per GPU, and `python -m guda` on them: python deploy/slurm.py score --model ...

pip install "guda-attribution[cluster]" dask-jobqueue; set what is in capitals. Workers and the
command have to see the same folders, and the scheduler's port has to stay within the cluster.
"""

from __future__ import annotations

import sys

import dask.config
from dask_jobqueue.slurm import SLURMCluster

from guda.cli import main
from guda.cluster.connect import CONFIG

JOBS, PARTITION, HOURS, NETWORK = 8, "gpu", 12, "ib0"
CORES, MEMORY, GRES = 4, "32GB", ["--gres=gpu:1"]  # of a job; on CPUs GRES is []

if __name__ == "__main__":
    with dask.config.set(CONFIG):
        cluster = SLURMCluster(
            queue=PARTITION,
            cores=1,
            processes=1,
            memory=MEMORY,
            walltime=f"{HOURS}:00:00",
            interface=NETWORK,
            job_cpu=CORES,
            job_extra_directives=GRES,
            job_script_prologue=[f"export OMP_NUM_THREADS={CORES}"],
            worker_extra_args=["--memory-limit", "0"],
        )
        cluster.scale(jobs=JOBS)
        try:
            code = main([*sys.argv[1:], "--cluster", cluster.scheduler_address])
        finally:
            cluster.close()
    raise SystemExit(code)
