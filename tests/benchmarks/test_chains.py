from audit.models import AuditEvent
from audit.verification import verify
from benchmarks.chains import BEGAN, fill
from tests.conftest import Tenant


def test_a_made_chain_has_no_fault_and_goes_on_where_another_ended(tenant: Tenant) -> None:
    tenant.record()
    fill(tenant.workspace, events=1_030)  # more than it has salts for: these it takes once more
    fill(tenant.workspace, events=5)
    tenant.record(now=BEGAN)
    assert list(verify(tenant.workspace)) == []
    events = AuditEvent.objects.filter(workspace=tenant.workspace)
    assert events.count() == 1_037
    assert len(set(events.values_list("actor_salt", "actor_commitment", "content_commitment"))) == 1_037


def test_made_events_tell_of_many_people(tenant: Tenant) -> None:
    fill(tenant.workspace, events=1_001)
    events = AuditEvent.objects.filter(workspace=tenant.workspace)
    assert events.by_actor("u1").count() == 2
    assert events.by_actor("u999").count() == 1
