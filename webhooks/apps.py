from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from audit.personal_data import cover
        from audit.recording import on_recorded
        from jobs import lanes
        from webhooks import claiming, models
        from webhooks.planning import LANE, plan_deliveries

        on_recorded(plan_deliveries)
        lanes.register(
            lanes.Lane(
                name=LANE,
                task="webhooks.deliver",
                queue="webhooks",
                has_due=claiming.has_due,
                rescue=claiming.rescue,
            )
        )
        cover(models.Webhook, redact={"encrypted_secret": "signs the deliveries; whoever reads it could forge them"})
        cover(models.WebhookDelivery, redact={"claim_token": "names no person"})
        cover(models.WebhookAttempt)
