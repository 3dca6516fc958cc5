"""Reading a request's body: what is not JSON, or too deep to be read, is answered and not a crash."""

from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser

from audit import strict_json
from audit.api.errors import ApiError, invalid


class StrictParser(Parser):
    """JSON as RFC 7493 has it: no NaN, no Infinity, no name twice; a body too large or too deep is refused."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            return strict_json.loads(request.body)
        except RecursionError:
            raise ApiError(422, "invalid", "The body is nested too deeply; send flatter values.") from None
        except strict_json.DuplicateName as error:
            raise invalid(error.name, "stands twice in one object; send each name once") from None
        except ValueError as error:
            raise ApiError(400, "not_json", f"The body is not JSON in UTF-8: {error}.") from None
