"""Use cases of operators, who hold the database and need no password."""
