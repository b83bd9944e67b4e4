"""`python -m graphql_mfa`."""

from graphql_mfa.cli import app

app()
