"""The figures as Markdown, and where they are written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.plot import plot

_ROOT = Path(__file__).parent.parent
_RESULTS = Path(__file__).parent / "results"
_PAGES = (_ROOT / "docs" / "performance.md", _ROOT / "README.md")


def write(figures: Mapping[str, Any]) -> None:
    """Write the figures, the plot, and, in each page that has its markers, each section."""
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / "latest.json").write_text(json.dumps(figures, indent=2) + "\n")
    (_RESULTS / "latest.svg").write_text(plot(figures))
    for page in _PAGES:
        text = page.read_text()
        for name, section in sections(figures).items():
            text = _replaced(text, name, section)
        page.write_text(text)


def _replaced(text: str, name: str, section: str) -> str:
    """The text with the section between its markers, where it has them."""
    begin, end = f"<!-- benchmark: {name} -->\n", f"<!-- end of benchmark: {name} -->"
    before, marker, rest = text.partition(begin)
    if not marker:
        return text
    return f"{before}{begin}{section}{end}{rest.partition(end)[2]}"


def sections(figures: Mapping[str, Any]) -> dict[str, str]:
    """The sections by name."""
    return {
        "machine": _machine(figures),
        "aims": _aims(figures),
        "ratios": _ratios(figures),
        "peers": _peers(figures),
        "figures": _figures(figures),
    }


def _machine(figures: Mapping[str, Any]) -> str:
    machine = dict(figures["machine"])
    where = f"{machine.pop('processor')}, {machine.pop('cores')} cores, {machine.pop('system')}"
    versions = ", ".join(f"{name} {version}" for name, version in machine.items())
    return (
        f"Measured at {figures['commit']} on {where}; {versions}. The load generator used at most "
        f"{figures['generator']:.0%} of its core. Load average before: {figures['load']:.1f}. "
        f"{_control(figures['hashes'])}\n"
    )


def _control(hashes: Mapping[str, Mapping[str, float]]) -> str:
    """Whether the machine was free: bcrypt alone uses every core, so it shows the share of other programs."""
    rates = list(list(hashes.values())[-1].values())
    return (
        f"bcrypt alone was {rates[-1] / rates[0]:.2f} times as fast on all cores as on one. Where that is well below "
        "their number, other programs used the cores, and the figures for all cores mean little."
    )


def _aims(figures: Mapping[str, Any]) -> str:
    lines = ["| aim | wanted | seen | |", "|---|---|---|---|"]
    lines += [
        f"| {aim['what']} | {'at most' if aim['at_most'] else 'at least'} {aim['wanted']:g} | {aim['seen']:.2f} "
        f"| {'reached' if aim['reached'] else 'missed'} |"
        for aim in figures["aims"]
    ]
    return "\n".join(lines) + "\n"


def _ratios(figures: Mapping[str, Any]) -> str:
    targets = dict(figures["targets"])
    ours = targets.pop("ours", {"operations": {}})["operations"]
    operations = figures["plan"]["operations"]
    last = str(figures["plan"]["connections"][-1])
    lines = [
        f"Operations a second of this API, as a share of the other's, at {last} connections; in brackets, the same for "
        "a second of processor time, which other programs on the machine change less\n",
        "| beside | " + " | ".join(operations) + " |",
        "|---|" + "---|" * len(operations),
    ]
    for name, target in targets.items():
        cells = (
            _ratio(ours.get(operation, {}).get(last), target["operations"].get(operation, {}).get(last))
            for operation in operations
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _peers(figures: Mapping[str, Any]) -> str:
    """How many times as fast this API is, beside those that do the same work."""
    targets = figures["targets"]
    peers = [peer.name for peer in PEERS if {"ours", peer.name} <= targets.keys()]
    operations = [
        operation
        for operation in figures["plan"]["operations"]
        if any(operation in targets[peer]["operations"] for peer in peers)
    ]
    last = str(figures["plan"]["connections"][-1])

    def times(name: str, operation: str) -> str:
        ours, theirs = (targets[target]["operations"].get(operation, {}).get(last) for target in ("ours", name))
        return f"{ours['rate'] / theirs['rate']:.1f}" if ours and theirs else "-"

    lines = ["| beside | " + " | ".join(operations) + " |", "|---|" + "---|" * len(operations)]
    lines += [f"| {name} | {' | '.join(times(name, operation) for operation in operations)} |" for name in peers]
    return "\n".join(lines) + "\n"


def _ratio(one: Mapping[str, float] | None, other: Mapping[str, float] | None) -> str:
    if not one or not other:
        return "-"
    # The clock of processor time has ticks of some milliseconds.
    by_processor = f"{other['cpu'] / one['cpu']:.2f}" if one["cpu"] and other["cpu"] else "-"
    return f"**{one['rate'] / other['rate']:.2f}** ({by_processor})"


def _figures(figures: Mapping[str, Any]) -> str:
    targets = figures["targets"]
    plan = figures["plan"]
    parts = ["\n".join(f"- {name}: {target['description']}" for name, target in targets.items())]
    for operation in plan["operations"]:
        lines = [
            f"`{operation}`: a second; p50, p95, p99; processor time of each, in milliseconds\n",
            "| | " + " | ".join(f"{connections} connections" for connections in plan["connections"]) + " |",
            "|---|" + "---|" * len(plan["connections"]),
        ]
        for name, target in targets.items():
            levels = target["operations"].get(operation, {})
            cells = (_cell(levels.get(str(connections))) for connections in plan["connections"])
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    parts.append(_resources(figures))
    return "\n\n".join(parts) + "\n"


def _cell(figures: Mapping[str, float] | None) -> str:
    if not figures:
        return "-"
    latencies = ", ".join(f"{figures[name]:.1f}" for name in ("p50", "p95", "p99"))
    return f"**{figures['rate']:,.0f}**; {latencies}; {figures['cpu']:.2f}"


def _resources(figures: Mapping[str, Any]) -> str:
    cores = list(next(iter(figures["hashes"].values())))
    logins = "".join(f" logins/s, {count} core{'s' * (count != '1')} |" for count in cores)
    lines = [
        "Memory in MB; starts, and `me` alone and while 16 users log in at bcrypt cost 12, in milliseconds\n",
        f"| | idle | peak | first start | cold start | me p99 idle | me p50, p99 |{logins}",
        "|---|" + "---|" * (6 + len(cores)),
    ]
    for name, target in figures["targets"].items():
        keys = ("idle memory", "peak memory", "first start", "cold start", "idle me p99")
        cells = [_number(target[key]) for key in keys]
        cells.append(f"{_number(target['storm me p50'])}, {_number(target['storm me p99'])}")
        cells += [_number(target["storm logins"].get(count)) for count in cores]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    dear = list(figures["hashes"].values())[-1]
    lines.append("| bcrypt alone | " + "- | " * 6 + " | ".join(_number(dear[count]) for count in cores) + " |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
