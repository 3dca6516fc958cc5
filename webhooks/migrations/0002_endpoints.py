import django.db.models.deletion
from django.db import migrations, models

ENDPOINTS = """
    INSERT INTO webhooks_endpoint (webhook_id, claims, slots, slow, failures_in_a_row)
    SELECT id, 0, 8, true, 0 FROM webhooks_webhook
"""


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_append_only"),
        ("webhooks", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Endpoint",
            fields=[
                (
                    "webhook",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="endpoint",
                        serialize=False,
                        to="webhooks.webhook",
                    ),
                ),
                ("claims", models.PositiveBigIntegerField(default=0)),
                (
                    "slots",
                    models.PositiveIntegerField(
                        default=8,
                        help_text="Requests it may have at once: one more with each success, half as many at a sign of overload.",
                    ),
                ),
                (
                    "slow",
                    models.BooleanField(
                        default=True, help_text="It took more than a second last time, or is not known yet."
                    ),
                ),
                (
                    "rate_spent_until",
                    models.DateTimeField(help_text="Up to when its rate limit is used up.", null=True),
                ),
                ("failures_in_a_row", models.PositiveIntegerField(default=0)),
                ("failing_since", models.DateTimeField(null=True)),
                ("last_success_at", models.DateTimeField(null=True)),
                ("last_failure_at", models.DateTimeField(null=True)),
                ("warned_at", models.DateTimeField(help_text="When its owner was told that it is failing.", null=True)),
            ],
        ),
        migrations.CreateModel(
            name="EndpointHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.DateTimeField(help_text="Its beginning.")),
                ("delivered", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.RemoveIndex(
            model_name="webhookdelivery",
            name="delivery_due",
        ),
        migrations.RemoveIndex(
            model_name="webhookdelivery",
            name="delivery_held",
        ),
        migrations.RemoveIndex(
            model_name="webhookdelivery",
            name="delivery_claimed",
        ),
        migrations.RemoveIndex(
            model_name="webhookdelivery",
            name="delivery_waiting",
        ),
        migrations.AddField(
            model_name="webhook",
            name="encrypted_authentication",
            field=models.TextField(
                blank=True, db_default="", default="", editable=False, help_text="Credentials, as JSON."
            ),
        ),
        migrations.AddField(
            model_name="webhook",
            name="encrypted_headers",
            field=models.TextField(
                blank=True, db_default="", default="", editable=False, help_text="Additional request headers, as JSON."
            ),
        ),
        migrations.AddField(
            model_name="webhook",
            name="encrypted_previous_secret",
            field=models.TextField(blank=True, db_default="", default="", editable=False),
        ),
        migrations.AddField(
            model_name="webhook",
            name="previous_secret_until",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Until then requests are signed with the previous secret too.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="webhook",
            name="rate_limit",
            field=models.PositiveIntegerField(
                blank=True, help_text="Requests a second; empty for no limit.", null=True
            ),
        ),
        migrations.AddField(
            model_name="webhook",
            name="retry_schedule",
            field=models.JSONField(
                blank=True, help_text="Seconds to wait after each failed attempt; empty for the default.", null=True
            ),
        ),
        migrations.AddField(
            model_name="webhook",
            name="timeout_seconds",
            field=models.FloatField(blank=True, help_text="Of one request; empty for the default.", null=True),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="body_sha256",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="Of the body as sent, in hexadecimal.", max_length=64
            ),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="request_headers",
            field=models.JSONField(db_default={}, default=dict, help_text="As sent, with credentials masked."),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="replay",
            field=models.BooleanField(
                db_default=False, default=False, help_text="Somebody asked for it again, after it had its chance."
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("replay", False), ("status", "PENDING")),
                fields=["webhook", "next_attempt_at", "id"],
                name="delivery_fresh",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(
                    ("next_attempt_at__isnull", False),
                    models.Q(("status", "FAILED"), ("replay", True), _connector="OR"),
                ),
                fields=["webhook", "next_attempt_at", "id"],
                name="delivery_backlog",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(
                    ("next_attempt_at__isnull", False),
                    models.Q(("status", "FAILED"), ("replay", True), _connector="OR"),
                ),
                fields=["next_attempt_at"],
                name="delivery_due",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(condition=models.Q(("status", "SENDING")), fields=["webhook"], name="delivery_sending"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(condition=models.Q(("status", "HELD")), fields=["webhook", "id"], name="delivery_held"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("status", "FAILED")), fields=["webhook", "-id"], name="delivery_failed"
            ),
        ),
        migrations.AddField(
            model_name="endpointhour",
            name="endpoint",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="hours",
                to="webhooks.endpoint",
            ),
        ),
        migrations.AddIndex(
            model_name="endpointhour",
            index=models.Index(fields=["hour"], name="endpoint_hour_age"),
        ),
        migrations.AddConstraint(
            model_name="endpointhour",
            constraint=models.UniqueConstraint(fields=("endpoint", "hour"), name="endpoint_hour_once"),
        ),
        migrations.RunSQL(ENDPOINTS, migrations.RunSQL.noop),
    ]
