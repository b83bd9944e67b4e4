"""The PostgreSQL server of the tests, itself."""

import os
import select
import subprocess
import sys
from pathlib import Path

from tests.conftest import postgresql_only, require_program
from tests.postgresql import program

FAIL_SAFE_SECONDS = 60
STARTER = """
from tests.postgresql import running_server
with running_server() as server:
    print(server._supervisor.pid, server.process, server._folder, flush=True)
    input()
"""


def _memory(process: str) -> str:
    try:
        return Path(f"/proc/{process}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@postgresql_only
def test_the_server_ends_and_cleans_up_when_its_parent_is_killed() -> None:
    require_program("PostgreSQL's server", program("initdb"))
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        supervisor, server, folder = starter.stdout.readline().split()
        supervised = os.pidfd_open(int(supervisor))
        assert _memory(server)
        starter.kill()
    try:
        assert select.select([supervised], [], [], FAIL_SAFE_SECONDS)[0] != []
    finally:
        os.close(supervised)
    # Without a parent that reaps it, it stays as a zombie, which has no memory.
    assert not _memory(server)
    assert not Path(folder).exists()
