"""The state: the only package that knows SQLAlchemy. A transaction is a plain function of a connection.

Statements on the path of a request are built once, when their module is imported: building one costs several times what
running it does. Their parameters are never named like a column that they set, which SQLAlchemy would set as well.
"""

from sqlalchemy import Connection as Connection
