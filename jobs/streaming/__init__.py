"""Streams: a company follows its jobs live, over a WebSocket (docs/streams.md)."""
