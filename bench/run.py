"""Measures every figure beside its limit and prints the table; a full run also rewrites it in bench/RESULTS.md."""

import argparse
import os
import platform
import re
import signal
import sys
import time
from pathlib import Path

import figures
import programs
import slots
import sockets
from server import Server, binaries

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
COMPARISONS = {"socket": sockets.compare, "slots": slots.compare}
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def _number(value: float, unit: str) -> str:
    return f"{value:.2f}{unit}" if unit == "×" else f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def table(measured: list[figures.Figure]) -> str:
    lines = ["| what | must | aim | measured | reached | beside |", "|---|---|---|---|---|---|"]
    for figure in measured:
        sign = "≥" if figure.at_least else "≤"
        lines.append(f"| {figure.what} | {sign} {_number(figure.must, figure.unit)} | {_number(figure.aim, figure.unit)} "
                     f"| **{_number(figure.value, figure.unit)}** | {figure.verdict()} | {figure.detail} |")
    return "\n".join(lines)


def machine() -> str:
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text(encoding="ascii").strip()
    version = programs.run([binaries() / "postgres", "--version"]).out.strip()
    return (f"{os.cpu_count()} × {model.group(1) if model else platform.machine()}, "
            f"{int(memory.group(1)) // 1048576 if memory else 0} GiB, Linux {platform.release().split('-')[0]} with "
            f"{congestion}, {version}")


def rewrite(text: str) -> None:
    whole = RESULTS.read_text(encoding="utf-8")
    head, rest = whole.split(BEGIN)
    tail = rest.split(END)[1]
    RESULTS.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", nargs="*", metavar="FIGURE",
                        help=f"{', '.join(figures.FIGURES)} (default: all of these), or socket, slots")
    parser.add_argument("--quick", action="store_true", help="small sizes, once: does everything work?")
    parser.add_argument("--transport", choices=["tcp", "unix"], default="tcp")
    arguments = parser.parse_args()
    chosen = arguments.figure or list(figures.FIGURES)
    for name in chosen:
        if name not in figures.FIGURES and name not in COMPARISONS:
            parser.error(f"no such figure: {name}")
    # Whoever stops us finds no server left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sizes = figures.QUICK if arguments.quick else figures.FULL
    server = Server(arguments.transport)
    measured = []
    try:
        for name in chosen:
            if name in COMPARISONS:
                COMPARISONS[name](server, sizes)
            else:
                measured += figures.FIGURES[name](server, sizes)
    finally:
        server.close()
    if measured:
        print(table(measured))
    if not arguments.quick and not arguments.figure:
        rewrite(f"{time.strftime('%Y-%m-%d')}, {machine()}, {arguments.transport}; medians of {sizes.repeats}, "
                f"in turns; load {os.getloadavg()[2]:.1f}.\n\n{table(measured)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
