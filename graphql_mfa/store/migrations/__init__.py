"""The schema's versions, applied with Alembic."""

from pathlib import Path

from sqlalchemy import Connection

HEAD = "0005"


def upgrade(connection: Connection, version: str = HEAD) -> None:
    """Bring the schema to that version inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
