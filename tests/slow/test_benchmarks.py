"""The benchmark itself, with little load: that figures come out of it, not which."""

import asyncio
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, scale
from benchmarks.client import Job, connected, drive
from benchmarks.measure import OPERATIONS, Plan, measure
from benchmarks.plot import plot
from benchmarks.population import Population
from benchmarks.results import aims, percentile, summary
from benchmarks.target import Request, Step, UnexpectedAnswerError, User
from benchmarks.targets import BARE, OURS
from tests.conftest import on_each_engine, require_program
from tests.postgresql import program

PLAN = Plan([OURS, BARE], connections=(1, 2), rounds=1, seconds=0.02, users=6, starts=1, storms=False)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return summary(PLAN, measure(PLAN), load=0.0)


def test_every_operation_is_measured_at_every_number_of_connections(figures: dict[str, Any]) -> None:
    for target in ("ours", "bare"):
        operations = figures["targets"][target]["operations"]
        assert set(operations) == set(OPERATIONS)
        for levels in operations.values():
            assert set(levels) == {"1", "2"}
            for level in levels.values():
                assert level["count"] > 0
                assert 0 < level["p50"] <= level["p95"] <= level["p99"]


def test_memory_starts_and_hashes_are_measured(figures: dict[str, Any]) -> None:
    for target in figures["targets"].values():
        assert target["idle memory"] > 0
        assert target["peak memory"] > 0
        assert target["first start"] > 0
        assert target["cold start"] > 0
    assert all(rate > 0 for by_cores in figures["hashes"].values() for rate in by_cores.values())


def test_goals_are_compared_where_both_sides_were_measured(figures: dict[str, Any]) -> None:
    targets = figures["targets"]
    judged = {aim.what for aim in aims(figures | {"targets": targets | {"better-auth": targets["bare"]}})}
    assert "verifyOtp a second, beside better-auth" in judged
    assert "verifyOtp a second, beside django-allauth" not in judged


def test_the_table_of_peers_leaves_out_what_no_peer_does(figures: dict[str, Any]) -> None:
    bare = figures["targets"]["bare"]
    operations = {name: levels for name, levels in bare["operations"].items() if name != "finishPasskeyLogin"}
    targets = figures["targets"] | {"better-auth": bare | {"operations": operations}}
    header = report.sections(figures | {"targets": targets})["peers"].splitlines()[0]
    assert header == "| beside | registerUser | login | verifyOtp | me | refreshSession |"


def test_the_report_is_written_between_its_markers(
    figures: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- benchmark: aims -->\nstale\n<!-- end of benchmark: aims -->\nafter\n")
    monkeypatch.setattr(report, "_PAGES", (page,))
    monkeypatch.setattr(report, "_RESULTS", tmp_path / "results")
    report.write(figures)
    report.write(figures)
    text = page.read_text()
    assert text.startswith("before\n<!-- benchmark: aims -->\n| aim |")
    assert text.endswith("|\n<!-- end of benchmark: aims -->\nafter\n")
    assert "stale" not in text
    assert text.count("| aim |") == 1


def test_the_plot_has_a_bar_for_each_target_and_operation(figures: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(plot(figures))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 2 * len(OPERATIONS)


async def test_an_unsuccessful_answer_ends_the_run() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    step = Step(lambda _: Request("/nowhere", method="GET"), lambda _, answer: answer.assert_success())
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, connected(server.sockets[0].getsockname()[1], 1) as connections:
        with pytest.raises(UnexpectedAnswerError, match="404"):
            await drive(connections, [Job(User("alice", "secret"), [step])], 1)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100)])
def test_a_percentile_is_the_value_at_its_rank(percent: int, expected: int) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


@on_each_engine
def test_a_large_store_and_a_running_purge_are_compared_with_a_baseline(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "postgresql":
        require_program("PostgreSQL's server", program("initdb"))
    monkeypatch.setattr(scale, "_LOOK_SECONDS", 0.01)
    plan = scale.Plan(users=(10, 30), rounds=1, visitors=10, purge=Population(2_000, 2_000, 1_000), seconds=0.1)
    with scale.stores(engine) as make:
        costs = scale.measure_scale(make, plan)
        purge = scale.measure_purge(make, plan)
    for operation in ("verifyOtp", "me"):
        assert len(costs[operation]) == 2
        assert all(cost.p50 > 0 for cost in costs[operation])
    assert purge.rows_a_second > 0
    assert min(len(purge.without.latencies), len(purge.during.latencies)) > 0
    assert [line.split("|")[1].strip() for line in scale.purge_lines(engine, purge)] == [
        f"{engine}, without",
        f"{engine}, during a purge",
    ]
