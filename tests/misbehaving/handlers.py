from jobs.backoff import exponential
from jobs.registry import handler
from tests.misbehaving.ways import FOREVER, work

handler("test.paced", rate="10/s")(lambda context: None)  # one that behaves
for _type, _timeout in {"test.long": FOREVER, "test.short": 2.0}.items():
    handler(_type, timeout=_timeout, backoff=exponential(base=1, cap=1))(work)
