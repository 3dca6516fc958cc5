from jobs.models.attempt import JobAttempt
from jobs.models.job import Job
from jobs.models.log import JobLog
from jobs.models.pause import Pause
from jobs.models.process import WorkerProcess
from jobs.models.throttle import Throttle
from jobs.models.tick import Tick

__all__ = ["Job", "JobAttempt", "JobLog", "Pause", "Throttle", "Tick", "WorkerProcess"]
