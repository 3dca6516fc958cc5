"""The admin's pages of jobs, of what is paused, and of the worker processes."""

from jobs.admin.history import JobAttemptAdmin, JobLogAdmin
from jobs.admin.job import JobAdmin
from jobs.admin.pause import PauseAdmin
from jobs.admin.process import ThrottleAdmin, TickAdmin, WorkerProcessAdmin

__all__ = [
    "JobAdmin",
    "JobAttemptAdmin",
    "JobLogAdmin",
    "PauseAdmin",
    "ThrottleAdmin",
    "TickAdmin",
    "WorkerProcessAdmin",
]
