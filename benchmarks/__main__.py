"""`python -m benchmarks`: this API beside others, in one run on one machine. See docs/performance.md."""

import argparse
import os

from benchmarks.measure import OPERATIONS, Plan, measure
from benchmarks.report import sections, write
from benchmarks.results import summary
from benchmarks.server import GENERATOR_CORE, pinned
from benchmarks.targets import TARGETS


def main() -> None:
    """Measure, print the results, and write them with `--write`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--targets", default=",".join(TARGETS), help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--operations", default=",".join(OPERATIONS), help=f"of {', '.join(OPERATIONS)}")
    parser.add_argument("--connections", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="the median of which counts")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="at most, for one operation")
    parser.add_argument("--users", type=int, default=Plan.users, help="at least, in a round")
    parser.add_argument("--quick", action="store_true", help="one round, fewer starts")
    parser.add_argument("--write", action="store_true", help="benchmarks/results, and the tables in the pages")
    options = parser.parse_args()
    plan = Plan(
        targets=[TARGETS[name] for name in options.targets.split(",")],
        operations=[name for name in OPERATIONS if name in options.operations.split(",")],
        connections=[int(count) for count in options.connections.split(",")],
        rounds=1 if options.quick else options.rounds,
        seconds=options.seconds,
        users=options.users,
        starts=2 if options.quick else Plan.starts,
    )
    with pinned([GENERATOR_CORE]):
        load = os.getloadavg()[0]
        figures = summary(plan, measure(plan), load)
    print("\n".join(sections(figures).values()))
    if options.write:
        write(figures)


if __name__ == "__main__":
    main()
