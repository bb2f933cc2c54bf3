#!/usr/bin/env python3
"""Kills a writer of DuckDB files at random moments and checks every file it leaves.

Each round starts `duckdb_soak write` on a file, kills it with SIGKILL while it opens, commits, checkpoints or at any
moment, and has the next start compare the whole content with what the cursor in the file calls for. A cursor behind a
reported commit, or ahead of the last one tried, is a failure; so are an unreadable file, any other content, an error
of DuckDB, a crash and a hang. Everything follows from --seed except the moment of the kill.
"""

import argparse
import glob
import json
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

SILENCE_LIMIT = 60.0  # seconds without a line: a hang
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Writer:
    """One writer process and the lines it reported."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.pending = b""
        self.lines = []
        self.ended = False

    def read_for(self, seconds, until=None):
        """Reads lines for so long, or until one starts with `until` (then True), or the process closes its output."""
        end = time.monotonic() + seconds
        while not self.ended:
            left = end - time.monotonic()
            if left <= 0 or not self.selector.select(left):
                return False
            start = len(self.lines)
            self._take()
            if until and any(line.startswith(until) for line in self.lines[start:]):
                return True
        return False

    def _take(self):
        data = self.process.stdout.read(1 << 16)
        if data is None:
            return
        if not data:
            self.ended = True
            return
        *whole, self.pending = (self.pending + data).split(b"\n")
        self.lines += [line.decode("utf-8", "replace") for line in whole]

    def kill(self):
        """Returns the exit code: -9 when the kill met a running process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.read_for(SILENCE_LIMIT)
        code = self.process.wait()
        self.selector.close()
        self.process.stdout.close()
        return code


class Soak:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.environment = dict(os.environ, TZ="UTC")
        if options.library:
            self.environment["LD_LIBRARY_PATH"] = options.library
        self.counts = Counter()
        self.failures = []
        self.signs_lost_files = set()
        self.longest_checkpoint = 0
        self.path = ""
        self.lines_before = []
        self.before = os.path.join(options.dir, "before")
        self.new_file()

    def new_file(self):
        for name in self.files():
            os.remove(name)
        layout = self.random.choice(["ordinary", "small"])
        self.path = os.path.join(self.options.dir, layout + ".duckdb")
        self.counts[layout + " files"] += 1
        self.seed = self.random.randrange(1, 1 << 32)
        self.rounds_left = self.random.randrange(6, 24)
        self.reported = 0  # the last batch whose COMMIT returned
        self.tried = 0  # the last batch whose COMMIT was called

    def files(self):
        """The database, its log and whatever else DuckDB laid beside it."""
        return glob.glob(glob.escape(self.path) + "*") if self.path else []

    def keep_before(self):
        shutil.rmtree(self.before, ignore_errors=True)
        os.makedirs(self.before)
        for name in self.files():
            shutil.copyfile(name, os.path.join(self.before, os.path.basename(name)))

    def round(self, number):
        if self.rounds_left == 0:
            self.check(number)
            self.new_file()
        self.rounds_left -= 1
        self.keep_before()
        command = [self.options.binary, "write", self.path, str(self.seed), str(self.random.randrange(1 << 31)), *self.options.set]
        writer = Writer(command, self.environment)
        silent = self.wait_for_the_moment(writer)
        code = writer.kill()
        self.judge(number, writer.lines, code, silent)
        self.lines_before = writer.lines

    def wait_for_the_moment(self, writer):
        """Waits for the moment to kill. Returns what the writer was silent after, if it was."""
        dice = self.random.random()
        if dice < 0.15:  # while it opens the file and replays
            writer.read_for(self.random.uniform(0, 0.12))
            return None
        if not writer.read_for(SILENCE_LIMIT, "verified") and not writer.ended:
            return "open"
        writer.read_for(self.random.uniform(0, 0.6 if dice < 0.4 else 0.3))
        if dice < 0.4 or writer.ended:
            return None
        moment, spread = ("checkpoint", 0.03) if dice < 0.8 else ("committing", 0.006)
        if not writer.read_for(SILENCE_LIMIT, moment) and not writer.ended:
            return moment
        time.sleep(self.random.uniform(0, spread))
        return None

    def judge(self, number, lines, code, silent):
        verified = False
        for line in lines:
            word, _, rest = line.partition(" ")
            self.counts[word] += 1
            if word == "verified":
                cursor, signs = (int(x) for x in rest.split())
                if not verified and not self.reported <= cursor <= self.tried:
                    self.fail(number, f"cursor {cursor}, reported {self.reported}, tried {self.tried}", lines)
                    return
                if not verified and cursor > self.reported:
                    self.counts["commits found but not reported"] += 1
                verified = True
                self.reported = self.tried = cursor
                if signs:
                    self.signs_lost_files.add(self.seed)
            elif word == "committing":
                self.tried = int(rest)
            elif word == "done":
                self.reported = int(rest)
            elif word == "checkpointed":
                self.longest_checkpoint = max(self.longest_checkpoint, int(rest))
            elif word == "fail":
                self.fail(number, rest, lines)
                return
        if silent:
            self.fail(number, f"silent for {SILENCE_LIMIT:.0f} s after {silent}", lines)
        elif code != -signal.SIGKILL:
            self.fail(number, f"ended by itself with {code}", lines)
        else:
            last = lines[-1].split()[0] if lines else "start"
            self.counts["killed after " + last] += 1
            if os.path.exists(self.path + ".wal"):
                self.counts["files left with a log"] += 1

    def check(self, number):
        """Opens the file a last time, then once more after the close that this made."""
        for _ in range(2):
            self.keep_before()
            command = [self.options.binary, "check", self.path, str(self.seed), *self.options.set]
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True,
                                  timeout=SILENCE_LIMIT, check=False)
            lines = done.stdout.splitlines()
            verified = [line.split() for line in lines if line.startswith("verified")]
            if done.returncode != 0 or not verified:
                self.fail(number, f"check ended with {done.returncode}: {lines[-1:]}", lines)
                return
            if not self.reported <= int(verified[0][1]) <= self.tried:
                self.fail(number, f"check: cursor {verified[0][1]}, reported {self.reported}, tried {self.tried}", lines)
                return
            self.reported = self.tried = int(verified[0][1])
            self.counts["checks"] += 1

    def fail(self, number, reason, lines):
        place = os.path.join(self.options.keep, f"round-{number}-seed-{self.options.seed}")
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        shutil.copytree(self.before, os.path.join(place, "before"))
        for name in self.files():
            shutil.copy(name, place)
        with open(os.path.join(place, "reported.txt"), "w", encoding="utf-8") as out:
            out.write(f"{reason}\nfile seed {self.seed}\n\nthe round before:\n" + "\n".join(self.lines_before)
                      + "\n\nthis round:\n" + "\n".join(lines) + "\n")
        self.failures.append({"round": number, "reason": reason, "kept": place})
        print(f"round {number}: FAILED: {reason}; kept in {place}", flush=True)
        self.new_file()

    def run(self):
        version = subprocess.run([self.options.binary, "version"], env=self.environment, capture_output=True,
                                 text=True, check=True).stdout.strip()
        start = time.monotonic()
        done = 0
        for number in range(1, self.options.rounds + 1):
            if len(self.failures) >= self.options.most_failures:
                break
            if self.options.seconds and time.monotonic() - start > self.options.seconds:
                break
            self.round(number)
            done = number
            if number % 100 == 0:
                print(f"{version}: {number} rounds, {len(self.failures)} failed, "
                      f"{time.monotonic() - start:.0f} s", flush=True)
        self.check(done)
        return {"version": version, "rounds": done, "seconds": round(time.monotonic() - start),
                "seed": self.options.seed, "settings": self.options.set, "failures": self.failures,
                "files with lost signs of zero": len(self.signs_lost_files),
                "longest checkpoint ms": self.longest_checkpoint, "counts": dict(sorted(self.counts.items()))}


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long, whatever --rounds says")
    parser.add_argument("--most-failures", type=int, default=20, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "release", "duckdb_soak"))
    parser.add_argument("--library", help="directory of the libduckdb.so to test; default: the one it was built with")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of DuckDB; may be repeated")
    parser.add_argument("--dir", help="where the files are written; default: a new temporary directory")
    parser.add_argument("--keep", default=os.path.join(ROOT, "build", "soak-failures"), help="where the files of failed rounds go")
    parser.add_argument("--json", help="where the result goes, besides the screen")
    return parser.parse_args(arguments)


def main(arguments):
    options = options_of(arguments)
    own = options.dir is None
    if own:
        import tempfile
        options.dir = tempfile.mkdtemp(prefix="duckdb-soak-")
    os.makedirs(options.dir, exist_ok=True)
    result = Soak(options).run()
    if own:
        shutil.rmtree(options.dir)
    text = json.dumps(result, indent=1)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            out.write(text + "\n")
    print(text)
    failed = len(result["failures"])
    print(f"{result['rounds'] - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
