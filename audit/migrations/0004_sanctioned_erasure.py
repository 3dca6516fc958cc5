from django.db import migrations

# A row may change only as an erasure changes it; once a statement is done, a record in the `system` chain must name
# each part that it changed. Records are opened once for a statement, not once for each of the rows that they name.
FORWARD = """
CREATE FUNCTION audit_is_erasure(before audit_auditevent, after audit_auditevent) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
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
            AND after.actor_erased_by IS DISTINCT FROM before.actor_erased_by) IS TRUE)
        AND (NOT of_content OR (after.content_salt IS NULL AND length(after.content_fresh_salt) = 64
            AND after.content_erased_by IS DISTINCT FROM before.content_erased_by) IS TRUE);
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

CREATE FUNCTION audit_refuse_unrecorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM (
        SELECT after.id, after.company_id, 'actor' AS part, after.actor_erased_by AS record
        FROM after JOIN before USING (id) WHERE after.actor_erased_by IS DISTINCT FROM before.actor_erased_by
        UNION ALL
        SELECT after.id, after.company_id, 'content', after.content_erased_by
        FROM after JOIN before USING (id) WHERE after.content_erased_by IS DISTINCT FROM before.content_erased_by
    ) AS changed
    LEFT JOIN (
        SELECT made.id AS record, made.company_id, listed ->> 'id' AS event, listed
        FROM audit_auditevent AS made
        JOIN audit_workspace AS place ON place.id = made.workspace_id AND place.name = 'system'
        CROSS JOIN LATERAL jsonb_array_elements(made.payload -> 'events') AS listed
        WHERE made.category = 'hyrelog' AND made.action = 'gdpr.erased'
          AND made.id IN (SELECT actor_erased_by FROM after UNION SELECT content_erased_by FROM after)
    ) AS told ON told.record = changed.record AND told.company_id = changed.company_id
        AND told.event = changed.id::text AND told.listed ? changed.part
    WHERE told.record IS NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'audit events are append-only: UPDATE on % is refused', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation', HINT = 'No record of an erasure in the chain names what was changed.';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_auditevent_recorded AFTER UPDATE ON audit_auditevent
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_unrecorded();
"""

BACKWARD = """
DROP TRIGGER audit_auditevent_recorded ON audit_auditevent;
DROP FUNCTION audit_refuse_unrecorded();
CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Record a new event instead.';
END
$$;
DROP FUNCTION audit_is_erasure(audit_auditevent, audit_auditevent);
"""


class Migration(migrations.Migration):
    """The database lets an event be changed in one way only: an erasure that the chain records."""

    dependencies = [("audit", "0003_erasures")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
