"""django-allauth as a peer."""
