"""`python -m benchmarks.raw_hash ROUNDS THREADS SECONDS` prints how many passwords a second bcrypt hashes here."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt


def rate(rounds: int, threads: int, seconds: float) -> float:
    """Hashes a second in that many threads. bcrypt lets the others run while it hashes."""
    salt = bcrypt.gensalt(rounds)

    def hash_until(end: float) -> int:
        done = 0
        while time.perf_counter() < end:
            bcrypt.hashpw(b"four-otters-row-upstream", salt)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        done = sum(pool.map(hash_until, [began + seconds] * threads))
        return done / (time.perf_counter() - began)


if __name__ == "__main__":
    rounds, threads, seconds = sys.argv[1:]
    print(rate(int(rounds), int(threads), float(seconds)))
