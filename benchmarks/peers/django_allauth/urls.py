# mypy: ignore-errors
# (what it imports is in an environment of its own)
"""All of django-allauth's API."""

from django.urls import include, path

urlpatterns = [path("_allauth/", include("allauth.headless.urls"))]
