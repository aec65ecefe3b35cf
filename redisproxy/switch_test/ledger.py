"""The ledger of acknowledged writes, and the comparisons with what is on the servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from redisproxy.switch_test.connection import Broken


def expect(got: object, wanted: object, what: str, kind: str = "wrong") -> None:
    """Compare two values.

    @param kind: the kind of fault that a difference is, in one word.
    @raise Broken: they differ.
    """
    if got != wanted:
        raise Broken(kind, f"{what}: expected {wanted!r}, got {got!r}")


def expect_count(got: object, wanted: int, what: str) -> None:
    """Compare a counter with the number of acknowledged writes.

    @raise Broken: writes were lost or doubled.
    """
    kind = "wrong" if not isinstance(got, int) else "lost" if got < wanted else "doubled"
    expect(got, wanted, what, kind)


def expect_elements(got: object, wanted: list[bytes], what: str) -> None:
    """Compare a list with the elements pushed to it, and name the first that is lost, doubled or out of order.

    @raise Broken: they differ.
    """
    if got == wanted:
        return
    found = Counter(got) if isinstance(got, list) else Counter()
    for value in wanted:
        if found[value] != 1:
            kind = "doubled" if found[value] else "lost"
            raise Broken(kind, f"{what}: the acknowledged element {value[:40]!r} is there {found[value]} times")
    kind = "misordered" if isinstance(got, list) and len(got) == len(wanted) else "wrong"
    raise Broken(kind, f"{what}: {len(wanted)} elements were acknowledged in another order, or others are there")


class Ledger:
    """What concerns several clients: the jobs, and the transactions on shared registers."""

    def __init__(self) -> None:
        self.pushed: set[bytes] = set()
        self.unsure: set[bytes] = set()
        self.delivered: Counter[bytes] = Counter()
        self.registers: dict[int, set[int]] = {}
        self.conflicts = 0

    def commit(self, register: int, version: int) -> None:
        """Note a transaction that read the version before and wrote this one.

        @raise Broken: another transaction did so, too.
        """
        versions = self.registers.setdefault(register, set())
        if version in versions:
            raise Broken(
                "watch",
                f"two transactions wrote version {version} of register:{register}: one was committed although the key"
                " that it watched had changed, or the other's write is lost",
            )
        versions.add(version)

    def faults(self, left: Iterable[bytes]) -> Iterator[str]:
        """The jobs that were lost, doubled or never pushed; `left` are those still in the queues."""
        seen = self.delivered + Counter(left)
        for job in sorted(self.pushed - seen.keys()):
            yield f"lost: RPUSH of job {job.decode()} was acknowledged, and no worker ever got it"
        for job, times in sorted(seen.items()):
            if times > 1:
                yield f"doubled: job {job.decode()} was delivered {times} times"
            if job not in self.pushed and job not in self.unsure:
                yield f"unknown: job {job.decode()} was delivered, and nobody pushed it"
