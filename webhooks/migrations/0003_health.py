from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_append_only"),
        ("webhooks", "0002_endpoints"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="webhookdelivery",
            name="delivery_held",
        ),
        migrations.AddField(
            model_name="webhook",
            name="held_before",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="What was held before this stays held until it is recovered; empty: nothing does, while enabled.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="endpoint",
            index=models.Index(
                condition=models.Q(("failing_since__isnull", False), ("warned_at__isnull", False), _connector="OR"),
                fields=["webhook"],
                name="endpoint_ailing",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("status", "HELD")), fields=["webhook", "created_at"], name="delivery_held"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("next_attempt_at", None), ("status", "FAILED")),
                fields=["webhook", "created_at"],
                name="delivery_given_up",
            ),
        ),
    ]
