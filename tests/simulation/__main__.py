"""`python -m tests.simulation --seeds 10000 [--from N]`, or `--seed N --trace` for one."""

import argparse
import sys
import time

from tests.simulation.running import SeedFailed, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--no-faults", action="store_true", help="nothing goes wrong")
    parser.add_argument("--quota", action="store_true", help="tenants have quotas, which change")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first that fails")
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    began, failed, slowest, count, moved = time.monotonic(), list[int](), 0.0, 0, 0
    for count, seed in enumerate(seeds, start=1):
        try:
            out = sys.stdout if given.trace else None
            passed = run_seed(seed, faults=not given.no_faults, quota=given.quota, out=out)
            slowest, moved = max(slowest, passed.converged_seconds), moved + passed.moved
        except SeedFailed as failure:
            print(failure, file=sys.stderr)
            failed.append(seed)
            if not given.keep_going:
                break
        if count % 100 == 0:
            print(f"{count} seeds, {(time.monotonic() - began) / count:.3f} s each", file=sys.stderr)
    print(
        f"{count} seeds in {time.monotonic() - began:.1f} s, {len(failed)} failed {failed};"
        f" slowest to come together {slowest:.0f} virtual seconds; {moved} copies placed again"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
