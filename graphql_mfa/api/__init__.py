"""The edge: the only package that knows GraphQL and HTTP."""
