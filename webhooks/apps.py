from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from audit.recording import on_recorded
        from jobs import lanes
        from webhooks import claiming, erasable, personal_data, rescuing
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
        personal_data.declare()
        erasable.declare()
