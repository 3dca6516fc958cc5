"""Repeating erasures, event by event, from what a restore can leave."""
