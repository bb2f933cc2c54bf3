"""python -m oracle --seed N: one run, or several; each failing seed replays by its number."""

import argparse
import sys

from oracle.run import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m oracle", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times")
    parser.add_argument("--seeds", type=int, default=0, help="run the seeds 1 to N")
    parser.add_argument("--from", type=int, default=1, dest="first", help="where --seeds begins")
    parser.add_argument("--seconds", type=float, default=15, help="how long the workload and the faults last")
    parser.add_argument("--keep", action="store_true", help="keep files and logs even when all is well")
    options = parser.parse_args()
    seeds = (options.seed or []) + list(range(options.first, options.first + options.seeds)) or [1]
    failed = []
    for seed in seeds:
        report = Run(seed, options.seconds, options.keep).execute()
        print(report, flush=True)
        if not report.ok:
            failed.append(seed)
    print(f"{len(seeds) - len(failed)} seeds passed, {len(failed)} failed{': ' + str(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
