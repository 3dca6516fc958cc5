"""A project's settings: HyreLog's, and one app more."""

from hyrelog.settings import *  # noqa: F403  every setting of HyreLog is a setting of the project
from hyrelog.settings import INSTALLED_APPS as HYRELOG_APPS

INSTALLED_APPS = [*HYRELOG_APPS, "reviews.apps.ReviewsConfig"]
