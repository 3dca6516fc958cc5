from django.db import migrations

# True where nothing but parts of the event was replaced, and a record in the `system` chain names each of them.
FORWARD = """
CREATE FUNCTION audit_is_recorded(event uuid, company uuid, record uuid, part text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM audit_auditevent AS made
        JOIN audit_workspace AS place ON place.id = made.workspace_id AND place.name = 'system'
        CROSS JOIN LATERAL jsonb_array_elements(made.payload -> 'events') AS listed
        WHERE made.id = record AND made.company_id = company AND made.category = 'hyrelog'
          AND made.action = 'gdpr.erased' AND listed ->> 'id' = event::text AND listed ? part
    )
$$;

CREATE FUNCTION audit_is_erasure(before audit_auditevent, after audit_auditevent) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    replaced constant text[] := ARRAY['actor', 'actor_salt', 'actor_fresh_salt', 'actor_erased_by', 'target', 'payload',
        'metadata', 'changes', 'context', 'content_salt', 'content_fresh_salt', 'content_erased_by'];
    of_actor boolean;
    of_content boolean;
BEGIN
    of_actor := (before.actor, before.actor_salt, before.actor_fresh_salt, before.actor_erased_by)
        IS DISTINCT FROM (after.actor, after.actor_salt, after.actor_fresh_salt, after.actor_erased_by);
    of_content := (before.target, before.payload, before.metadata, before.changes, before.context,
        before.content_salt, before.content_fresh_salt, before.content_erased_by)
        IS DISTINCT FROM (after.target, after.payload, after.metadata, after.changes, after.context,
        after.content_salt, after.content_fresh_salt, after.content_erased_by);
    RETURN (of_actor OR of_content)
        AND NOT (before.category = 'hyrelog' AND before.action = 'gdpr.erased')
        AND to_jsonb(before) - replaced = to_jsonb(after) - replaced
        AND (NOT of_actor OR (after.actor_salt IS NULL AND length(after.actor_fresh_salt) = 64
            AND after.actor_erased_by IS DISTINCT FROM before.actor_erased_by
            AND audit_is_recorded(after.id, after.company_id, after.actor_erased_by, 'actor')) IS TRUE)
        AND (NOT of_content OR (after.content_salt IS NULL AND length(after.content_fresh_salt) = 64
            AND after.content_erased_by IS DISTINCT FROM before.content_erased_by
            AND audit_is_recorded(after.id, after.company_id, after.content_erased_by, 'content')) IS TRUE);
END
$$;

CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF audit_is_erasure(OLD, NEW) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit events are append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Record a new event instead, or request an erasure.';
END
$$;
"""

BACKWARD = """
CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Record a new event instead.';
END
$$;
DROP FUNCTION audit_is_erasure(audit_auditevent, audit_auditevent);
DROP FUNCTION audit_is_recorded(uuid, uuid, uuid, text);
"""


class Migration(migrations.Migration):
    """The database lets an event be changed in one way only: an erasure that the chain records."""

    dependencies = [("audit", "0003_erasures")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
