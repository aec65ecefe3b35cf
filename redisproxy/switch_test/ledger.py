"""What has been acknowledged, of all clients together, and what is wrong when the servers know otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from redisproxy.switch_test.connection import Broken


def expect(got: object, wanted: object, what: str, kind: str = "wrong") -> None:
    """Compare.

    @param kind: one word for what a difference means.
    @raise Broken: they differ.
    """
    if got != wanted:
        raise Broken(kind, f"{what}: expected {wanted!r}, got {got!r}")


def expect_count(got: object, wanted: int, what: str) -> None:
    """Compare a number of writes that were acknowledged with what there is.

    @raise Broken: writes were lost or doubled.
    """
    kind = "wrong" if not isinstance(got, int) else "lost" if got < wanted else "doubled"
    expect(got, wanted, what, kind)


def expect_elements(got: object, wanted: list[bytes], what: str) -> None:
    """Compare a list with what was pushed to it; name the first element that is lost, doubled or out of order.

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
    """The jobs, and the transactions on the registers that several clients write."""

    def __init__(self) -> None:
        self.pushed: set[bytes] = set()
        self.unsure: set[bytes] = set()
        self.delivered: Counter[bytes] = Counter()
        self.registers: dict[int, set[int]] = {}
        self.conflicts = 0

    def commit(self, register: int, version: int) -> None:
        """A transaction has written this version, having read the one before.

        @raise Broken: another one has done so, too.
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
        """What is wrong with the jobs; `left` is what is still in the queues."""
        seen = self.delivered + Counter(left)
        for job in sorted(self.pushed - seen.keys()):
            yield f"lost: RPUSH of job {job.decode()} was acknowledged, and no worker ever got it"
        for job, times in sorted(seen.items()):
            if times > 1:
                yield f"doubled: job {job.decode()} was delivered {times} times"
            if job not in self.pushed and job not in self.unsure:
                yield f"unknown: job {job.decode()} was delivered, and nobody pushed it"
