# SPDX-License-Identifier: Apache-2.0
"""Sequence-number audit: each record says who made it, its number, and a checksum of itself.

    <source> <number> <checksum> <padding>

What came out is held against what went in: missing, twice, torn (a line that is no whole record),
out of order for its source.
"""
import re
import zlib
from dataclasses import dataclass, field

EXAMPLES_MAX = 10
RECORD_BYTES_MAX = 1 << 20
PADDING = b"abcdefghijklmnopqrstuvwxyz" * (RECORD_BYTES_MAX // 26 + 2)
_RECORD = rb"([A-Za-z0-9_.-]+) (\d{1,18}) ([0-9a-f]{8}) ([a-z]*)"


def make(source, number, size=100):
    """One record, without a newline, of `size` bytes, or as many as it takes."""
    head = b"%s %d " % (source.encode(), number)
    begin = number % 26
    padding = PADDING[begin:begin + max(0, size - len(head) - 9)]
    return head + b"%08x " % _checksum(head, padding) + padding


def _checksum(head, padding):
    return zlib.crc32(padding, zlib.crc32(head))


def split_lines(content):
    """Lines with their newlines (a carriage return ends none); a last half line without."""
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


@dataclass
class Report:
    """Counts, and the first examples of each kind."""
    records: int = 0
    missing: int = 0
    twice: int = 0
    torn: int = 0
    out_of_order: int = 0
    strangers: int = 0  # whole records that nobody has made
    notes: list = field(default_factory=list)  # lines that the audit was told to let pass
    examples: list = field(default_factory=list)

    def assert_clean(self, **allowed):
        """Fails unless all is in order; torn=2 allows up to two torn lines, and so on."""
        over = [name for name in ("missing", "twice", "torn", "out_of_order", "strangers")
                if getattr(self, name) > allowed.get(name, 0)]
        assert not over, f"{', '.join(over)}: {self}"


class Audit:
    """Takes files or lines in the order of their writing; report() closes it.

    expected: how many records each source has made, as {source: count}, numbered from 0.
    prefix:   pattern of what the output's format puts before a record.
    let_pass: pattern of whole lines that are no records, such as the note of a gap.
    unordered: sources that nobody keeps in order, such as one record for each connection.
    """

    def __init__(self, expected, prefix=b"", let_pass=None, unordered=()):
        self.report_ = Report()
        self._seen = {source.encode(): bytearray(count) for source, count in expected.items()}
        self._last = dict.fromkeys(self._seen, -1)
        self._record = re.compile(b"(?:" + prefix + b")" + _RECORD)
        self._let_pass = re.compile(let_pass) if let_pass else None
        self._unordered = {source.encode() for source in unordered}

    def _example(self, kind, what):
        if len(self.report_.examples) < EXAMPLES_MAX:
            self.report_.examples.append(f"{kind}: {what!r}")

    def line(self, line):
        """One line, without its newline."""
        match = self._record.fullmatch(line)
        if match is None:
            if self._let_pass is not None and self._let_pass.fullmatch(line):
                self.report_.notes.append(line)
            else:
                self._torn(line)
            return
        source, number, checksum, padding = match.groups()[-4:]
        if int(checksum, 16) != _checksum(b"%s %s " % (source, number), padding):
            self._torn(line)
            return
        self._count(source, int(number), line)

    def _torn(self, line):
        self.report_.torn += 1
        self._example("torn", line[:200])

    def _count(self, source, number, line):
        report, seen = self.report_, self._seen.get(source)
        report.records += 1
        if seen is None or number >= len(seen):
            report.strangers += 1
            self._example("stranger", line[:200])
            return
        if seen[number]:
            report.twice += 1
            self._example("twice", line[:60])
            return
        seen[number] = 1
        if number < self._last[source] and source not in self._unordered:
            report.out_of_order += 1
            self._example(f"out of order, after {self._last[source]}", line[:60])
        self._last[source] = max(self._last[source], number)

    def file(self, path):
        """All lines of a file; a last line without its newline is torn."""
        with open(path, "rb") as lines:
            self.lines(lines)
        return self

    def lines(self, lines):
        for line in lines:
            if line.endswith(b"\n"):
                self.line(line[:-1])
            else:
                self._torn(line)
        return self

    def gaps(self):
        """Of each source: what is missing between the first record that came and the last."""
        return {source.decode(): seen.strip(b"\0").count(0)
                for source, seen in self._seen.items()}

    def holes(self):
        """Of each source: in how many places something is missing, however much it is."""
        return {source.decode(): len(re.findall(b"\0+", seen))
                for source, seen in self._seen.items()}

    def report(self):
        for source, seen in self._seen.items():
            missing = seen.count(0)
            self.report_.missing += missing
            if missing:
                self._example("missing", f"{missing} of {source.decode()}, first {seen.index(0)}")
        return self.report_


def audit(paths, expected, **options):
    """The report on files, oldest first, that together hold what the sources have made."""
    result = Audit(expected, **options)
    for path in paths:
        result.file(path)
    return result.report()
