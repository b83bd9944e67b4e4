"""The queries and mutations: each reads its input and calls a use case."""
