"""Every route."""

from functools import partial

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.generic import RedirectView
from ninja.openapi.views import openapi_view

from hyrelog.api import api
from hyrelog.ops import health

admin.site.site_header = admin.site.site_title = "HyreLog"
admin.site.index_title = "Operations"

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("v1/", api.urls),
    path("docs", partial(openapi_view, api=api)),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001  Django passes both
    return JsonResponse({"error": f"There is nothing at {request.path}.", "code": "not_found"}, status=404)


def failed(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return JsonResponse({"error": "HyreLog failed; the failure is in its log.", "code": "internal"}, status=500)


handler404, handler500 = not_found, failed
