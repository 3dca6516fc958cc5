from jobs.models.job import Job
from jobs.models.process import WorkerProcess
from jobs.models.tick import Tick

__all__ = ["Job", "Tick", "WorkerProcess"]
