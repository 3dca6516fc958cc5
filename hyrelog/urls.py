"""Every route."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from django.urls import URLPattern, path, re_path
from django.views.generic import RedirectView
from ninja.openapi.views import openapi_view

from hyrelog.api import api
from hyrelog.ops import health
from jobs.streaming.consumer import JobStream, NothingHere

admin.site.site_header = admin.site.site_title = "HyreLog"
admin.site.index_title = "Operations"


def in_one_form(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view of the API whose answer to a method that it has not is JSON, as its other errors are."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **named: Any) -> HttpResponseBase:
        answer = view(request, *args, **named)
        if not isinstance(answer, HttpResponseNotAllowed):
            return answer
        allowed = answer.headers["Allow"]
        error = f"{request.method} is not allowed at {request.path}; allowed: {allowed}."
        body = {"error": error, "code": "method_not_allowed"}
        return JsonResponse(body, status=405, headers={"Allow": allowed})

    return wrapped


def api_routes() -> tuple[list[Any], str, str]:
    routes, app, namespace = api.urls
    for route in routes:
        if isinstance(route, URLPattern):
            route.callback = in_one_form(route.callback)
    return routes, app, namespace


urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("v1/", api_routes()),
    path("docs", partial(openapi_view, api=api)),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]

websocket_urlpatterns: list[Any] = [
    path("v1/key/company/jobs/stream", JobStream.as_asgi()),  # type: ignore[arg-type]  # Channels' own use of it
    re_path("", NothingHere.as_asgi()),  # type: ignore[arg-type]
]


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001  Django passes both
    return JsonResponse({"error": f"There is nothing at {request.path}.", "code": "not_found"}, status=404)


def failed(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return JsonResponse({"error": "HyreLog failed; the failure is in its log.", "code": "internal"}, status=500)


handler404, handler500 = not_found, failed
