"""The demo receiver's page."""

import json
from html import escape

from hyrelog.dev.inbox import Inbox, Received

SHOWN_DELIVERIES = 100
_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; }
p { opacity: .75; margin-top: 0; }
dl { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; }
dl div { border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1.1rem; min-width: 7rem; }
dt { opacity: .7; font-size: .85rem; }
dd { margin: 0; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); }
th { font-size: .85rem; opacity: .7; font-weight: 600; }
code, pre { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: .3rem 0; }
.good { color: light-dark(#15703a, #5bd08a); } .bad { color: light-dark(#b3261e, #ff8a80); }
"""


def render(inbox: Inbox) -> str:
    """The whole page; everything that came in from outside is escaped."""
    counters = {
        "Received": inbox.received,
        "Verified": inbox.verified,
        "Rejected": inbox.rejected,
        "Duplicates": inbox.duplicates,
        "Different ids": inbox.unique,
    }
    tiles = "".join(f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, count in counters.items())
    rows = "".join(_row(delivery) for delivery in list(inbox.deliveries)[:SHOWN_DELIVERIES])
    table = f"<table><tr><th>Time (UTC)<th>Event<th>Attempt<th>webhook-id<th>Signature</tr>{rows}</table>"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>HyreLog receiver: {inbox.received:,} received</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="10">
<style>{_STYLE}</style></head><body>
<h1>HyreLog demo receiver</h1>
<p>What the demo webhook delivered, checked with the standardwebhooks library.
The same as <a href="/deliveries.json">JSON</a>.</p>
<dl>{tiles}</dl>
{table if rows else "<p>Nothing yet: record an event, and it shows here.</p>"}
</body></html>"""


def _row(delivery: Received) -> str:
    what = delivery.action or delivery.type or "unknown"
    repeated = f" <small>(time {delivery.times})</small>" if delivery.times > 1 else ""
    signature = '<span class="good">verified</span>'
    if not delivery.verified:
        signature = f'<span class="bad">rejected</span><br><small>{escape(delivery.error or "")}</small>'
    body = escape(json.dumps(delivery.body, indent=2, ensure_ascii=False))
    return (
        f"<tr><td>{escape(delivery.receivedAt[11:23])}"
        f"<td><details><summary>{escape(what)}</summary><pre>{body}</pre></details>"
        f"<td>{escape(delivery.attempt)}<td><code>{escape(delivery.webhookId)}</code>{repeated}<td>{signature}</tr>"
    )
