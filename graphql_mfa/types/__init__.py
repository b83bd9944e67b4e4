"""The GraphQL types that use cases return. Each outcome is declared once, with its text."""
