"""A Slurm job per GPU, and `python -m guda` on them: python deploy/slurm.py score --model ...

pip install "guda-attribution[cluster]" dask-jobqueue; set what is in capitals. Workers and the
command have to see the same folders, and the scheduler's port has to stay within the cluster.
"""

from __future__ import annotations

import sys

from dask_jobqueue import SLURMCluster

from guda.cli import main

GPUS, PARTITION, HOURS, NETWORK = 8, "gpu", 12, "ib0"

if __name__ == "__main__":
    cluster = SLURMCluster(
        queue=PARTITION,
        cores=1,
        processes=1,
        memory="32GB",
        walltime=f"{HOURS}:00:00",
        interface=NETWORK,
        job_extra_directives=["--gres=gpu:1", "--cpus-per-task=4"],
        job_script_prologue=["export OMP_NUM_THREADS=4"],
        worker_extra_args=["--memory-limit", "0"],
    )
    cluster.scale(jobs=GPUS)
    try:
        code = main([*sys.argv[1:], "--cluster", cluster.scheduler_address])
    finally:
        cluster.close()
    raise SystemExit(code)
