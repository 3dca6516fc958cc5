"""Metrics for Prometheus, on a port of their own. All are read from Postgres, so that any one web process tells all."""

import logging
from collections.abc import Iterator

from django.conf import settings
from django.db import connection
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hyrelog.ops.gauges import GAUGES
from jobs import registry

CONCURRENCY = "hyrelog_job_concurrency"

logger = logging.getLogger(__name__)


class DatabaseCollector(Collector):
    """Reads the gauges at each scrape."""

    def describe(self) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily(name, text, labels=labels) for name, text, labels, _ in GAUGES] + [self._limits()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("hyrelog_database_up", "1 if the database answered this scrape.")
        try:
            families = [self._family(*gauge) for gauge in GAUGES]
        except Exception:
            logger.exception("The metrics could not be read.")
            families = []
        finally:
            connection.close()
        up.add_metric([], 1 if families else 0)
        yield up
        yield from families
        yield self._limits()

    def _family(self, name: str, text: str, labels: list[str], statement: str) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=labels)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            for *values, number in cursor.fetchall():
                family.add_metric([str(value) for value in values], float(number))
        return family

    def _limits(self) -> GaugeMetricFamily:
        """Declared, not stored: by these, how much of a limit is in use can be told."""
        text = "Jobs of a type that may run at the same time, over all workers."
        family = GaugeMetricFamily(CONCURRENCY, text, labels=["type"])
        for declared in registry.handlers():
            family.add_metric([declared.type], declared.concurrency)
        return family


def serve() -> None:
    """Answer on METRICS_PORT, from a thread. Of several web processes the first one does; they would tell the same."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector())
    try:
        start_http_server(settings.METRICS_PORT, addr=settings.METRICS_HOST, registry=registry)
    except OSError as error:
        logger.warning("Metrics are not served by this process: port %d: %s.", settings.METRICS_PORT, error.strerror)
