# mypy: ignore-errors
# (its imports are installed in a separate environment)
"""All of django-allauth's API."""

from django.urls import include, path

urlpatterns = [path("_allauth/", include("allauth.headless.urls"))]
