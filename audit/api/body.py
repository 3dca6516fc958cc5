"""Reading a request's body: what is not JSON, or too deep to be read, is answered and not a crash."""

import json
from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser

from audit.api.errors import ApiError


class StrictParser(Parser):
    """JSON as RFC 8259 has it: no NaN, no Infinity; a body over the limit or too deeply nested is refused."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            return json.loads(request.body, parse_constant=_refuse)
        except RecursionError:
            raise ApiError(422, "invalid", "The body is nested too deeply; send flatter values.") from None
        except ValueError as error:
            raise ApiError(400, "not_json", f"The body is not JSON in UTF-8: {error}.") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
