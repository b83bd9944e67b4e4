"""The database. The only package that imports SQLAlchemy; a transaction is a plain function of a connection.

Statements that requests run are built once, at import: building one costs several times what running it does. Bind
names must differ from column names: SQLAlchemy adds a matching parameter to SET.
"""

from sqlalchemy import Connection as Connection
