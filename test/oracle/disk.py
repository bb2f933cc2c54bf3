"""The disk below the program's log. It can lose its power: of what was written and not synced, only a part is there then."""

import random
import struct
import subprocess
from pathlib import Path

BLOCK = 4096
HEAD = struct.Struct("=QQ")
SOURCE = Path(__file__).with_name("forgetful_disk.c")
SLOWEST_SYNCS_US = (0, 0, 3_000, 40_000)


class Disk:
    """Everything below `root`, for programs that run with `environment()`. Made once per run."""

    def __init__(self, root: Path, workshop: Path, draw: random.Random):
        self._root = root
        self._draw = draw
        self._undo = workshop / "undo"
        self._undo.mkdir(parents=True)
        self._library = workshop / "forgetful_disk.so"
        self._slowest_us = draw.choice(SLOWEST_SYNCS_US)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(self._library), str(SOURCE), "-ldl"], check=True)

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "ORACLE_DISK_ROOT": str(self._root), "ORACLE_DISK_UNDO": str(self._undo),
                "ORACLE_DISK_SYNC_US": str(self._slowest_us)}

    def cut_power(self) -> int:
        """Takes back what was not synced, but for the blocks that happened to land. Only while no program runs on it.
        Answers how many blocks were lost."""
        files = {file.stat().st_ino: file for file in self._root.rglob("*") if file.is_file()}
        lost = 0
        for undo in self._undo.iterdir():
            written = files.get(int(undo.name))
            if written is not None:
                lost += self._take_back(written, undo.read_bytes())
            undo.unlink()
        return lost

    def _take_back(self, file: Path, records: bytes) -> int:
        before: dict[int, bytes] = {}
        at = 0
        while at + HEAD.size <= len(records):
            offset, length = HEAD.unpack_from(records, at)
            old = records[at + HEAD.size:at + HEAD.size + length]
            if len(old) < length:
                break  # The program died while it kept this one: the write was never made.
            for place in range(0, length, BLOCK):
                before.setdefault(offset + place, old[place:place + BLOCK])
            at += HEAD.size + length
        landing = self._draw.choice([0.0, 0.5, 0.9])
        lost = [offset for offset in sorted(before) if self._draw.random() >= landing and offset < file.stat().st_size]
        with open(file, "r+b") as out:
            for offset in lost:
                out.seek(offset)
                out.write(before[offset])
        return len(lost)
