"""The state: the only package that knows SQLAlchemy. A transaction is a plain function of a connection."""

from sqlalchemy import Connection as Connection
