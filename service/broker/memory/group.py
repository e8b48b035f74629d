"""A consumer group within one process: cooperative and sticky."""

from __future__ import annotations

from collections.abc import Hashable

#: A consumer, compared by identity.
Member = Hashable


class MemoryGroup:
    """Members, owners of partitions and committed offsets. The caller holds the broker's lock."""

    def __init__(self) -> None:
        self.members: list[Member] = []  # in order of joining
        self.joined: dict[Member, int] = {}  # member -> number of its joining
        self.joins = 0
        self.owners: dict[int, Member] = {}  # partition -> the member that holds it
        self.committed: dict[int, int] = {}
        self.pending: dict[object, dict[int, int]] = {}  # open transaction -> its offsets

    def targets(self, partitions: int) -> dict[Member, set[int]]:
        """Partitions that each member should hold: even shares with as few moves as possible."""
        shares: dict[Member, set[int]] = {member: set() for member in self.members}
        if not shares:
            return shares
        least, extra = divmod(partitions, len(shares))
        spare = []
        for partition in range(partitions):
            owner = self.owners.get(partition)
            if owner in shares and len(shares[owner]) < least + (extra > 0):
                shares[owner].add(partition)
            else:
                spare.append(partition)
        order = sorted(shares.values(), key=len, reverse=True)
        for index, share in enumerate(order):
            quota = least + (index < extra)
            while len(share) > quota:
                spare.append(max(share))
                share.remove(spare[-1])
            while len(share) < quota:
                share.add(spare.pop(0))
        return shares

    def join(self, member: Member) -> None:
        """Add a member."""
        self.joins += 1
        self.joined[member] = self.joins
        self.members.append(member)

    def leave(self, member: Member) -> None:
        """Remove a member; its partitions are free at once."""
        if member in self.members:
            self.members.remove(member)
            del self.joined[member]
        self.owners = {p: owner for p, owner in self.owners.items() if owner is not member}
