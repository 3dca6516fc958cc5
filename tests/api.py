"""Asking the API in tests, as a tenant's developer would."""

import json
from typing import Any

from django.test import Client

JSON = "application/json"


class Api:
    """Django's test client with a key."""

    def __init__(self, client: Client, key: str) -> None:
        self._client, self._headers = client, {"x-hyrelog-key": key}

    def get(self, url: str, **query: Any) -> Any:
        return self._client.get(url, query, headers=self._headers)

    def post(self, url: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, (str, bytes)) else json.dumps(body or {})
        return self._client.post(url, data, content_type=JSON, headers=self._headers | headers)

    def patch(self, url: str, body: Any) -> Any:
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return self._client.patch(url, data, content_type=JSON, headers=self._headers)

    def delete(self, url: str) -> Any:
        return self._client.delete(url, headers=self._headers)
