from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from audit.personal_data import cover, exclude
        from audit.recording import on_recorded
        from jobs import lanes
        from webhooks import claiming, models, rescuing
        from webhooks.planning import LANE, plan_deliveries

        on_recorded(plan_deliveries)
        lanes.register(
            lanes.Lane(
                name=LANE,
                task="webhooks.deliver",
                queue="webhooks",
                next_due=claiming.next_due,
                rescue=rescuing.rescue,
            )
        )
        cover(
            models.Webhook,
            redact={
                "encrypted_secret": "signs the deliveries; whoever reads it could forge them",
                "encrypted_previous_secret": "signs the deliveries; whoever reads it could forge them",
                "encrypted_headers": "may hold credentials of the endpoint",
                "encrypted_authentication": "credentials of the endpoint",
            },
        )
        exclude(models.Endpoint, reason="how the endpoint fares: counts and times of requests, which name no person")
        exclude(models.EndpointHour, reason="counts of requests, which name no person")
        cover(models.WebhookDelivery, redact={"claim_token": "names no person"})
        cover(models.WebhookAttempt)
