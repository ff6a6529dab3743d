"""mm/hugetlb.c again, counts only and one page at a time, as the kernel's loops go."""

from __future__ import annotations


class Reference:
    def __init__(self, room, persistent_rule):
        self.nids = list(range(len(room)))
        self.room = list(room)  # huge pages that a node's memory still yields
        self.nr, self.free, self.surplus = ([0] * len(room) for _ in range(3))
        self.resv = self.overcommit = self.max = 0
        self.to_alloc = self.to_free = 0
        self.persistent_rule = persistent_rule
        self.success = self.fail = 0

    @property
    def persistent(self):
        return sum(self.nr) - sum(self.surplus)

    def _after(self, nid, allowed):
        return next((n for n in allowed if n > nid), allowed[0])

    def _rounds(self, cursor, allowed):
        for _ in allowed:
            nid = getattr(self, cursor)
            nid = nid if nid in allowed else self._after(nid, allowed)
            setattr(self, cursor, self._after(nid, allowed))
            yield nid

    def _adjust_surplus(self, allowed, delta):
        cursor = "to_alloc" if delta < 0 else "to_free"
        for nid in self._rounds(cursor, allowed):
            if self.surplus[nid] if delta < 0 else self.surplus[nid] < self.nr[nid]:
                self.surplus[nid] += delta
                return True
        return False

    def _alloc_on(self, nid):
        if not self.room[nid]:
            self.fail += 1
            return False
        self.success += 1
        self.room[nid] -= 1
        return True

    def _alloc_pool_page(self, allowed):
        for nid in self._rounds("to_alloc", allowed):
            if self._alloc_on(nid):
                self.nr[nid] += 1
                self.free[nid] += 1
                return True
        return False

    def _remove_pool_page(self, allowed, surplus):
        for nid in self._rounds("to_free", allowed):
            if self.free[nid] and (not surplus or self.surplus[nid]):
                self.free[nid] -= 1
                self.nr[nid] -= 1
                self.surplus[nid] -= surplus
                self.room[nid] += 1
                return True
        return False

    def set_max(self, count, nid=None):
        allowed = self.nids if nid is None else [nid]
        if nid is not None and self.persistent_rule:
            count += self.persistent - (self.nr[nid] - self.surplus[nid])
        elif nid is not None:
            count += sum(self.nr) - self.nr[nid]
        if self._grow(count, allowed):
            self._shrink(count, allowed)
        self.max = self.persistent

    def _grow(self, count, allowed):
        while sum(self.surplus) and count > self.persistent:
            if not self._adjust_surplus(allowed, -1):
                break
        while count > self.persistent:
            if not self._alloc_pool_page(allowed):
                return False
        return True

    def _shrink(self, count, allowed):
        least = max(count, self.resv + sum(self.nr) - sum(self.free))
        while least < self.persistent:
            if not self._remove_pool_page(allowed, surplus=False):
                break
        while count < self.persistent:
            if not self._adjust_surplus(allowed, 1):
                break

    def _alloc_surplus(self, fallback):
        if sum(self.surplus) >= self.overcommit:
            return None
        nid = next((n for n in fallback if self.room[n]), None)
        if nid is None:
            self.fail += 1
            return None
        self._alloc_on(nid)
        self.nr[nid] += 1
        self.surplus[nid] += 1
        return nid

    def reserve(self, delta, fallback):
        needed = self.resv + delta - sum(self.free)
        got = []
        for _ in range(max(0, needed)):
            nid = self._alloc_surplus(fallback)
            if nid is None:
                for n in got:
                    self.free_page(n)
                return False
            got.append(nid)
        for nid in got:
            self.free[nid] += 1
        self.resv += delta
        return True

    def fault(self, owed, fallback):
        nid = None
        if owed or sum(self.free) > self.resv:
            nid = next((n for n in fallback if self.free[n]), None)
        if nid is None:
            nid = self._alloc_surplus(fallback)
            if nid is None:
                return None
        else:
            self.free[nid] -= 1
        self.resv -= owed
        return nid

    def free_page(self, nid):
        if self.surplus[nid]:
            self.surplus[nid] -= 1
            self.nr[nid] -= 1
            self.room[nid] += 1
        else:
            self.free[nid] += 1

    def unreserve(self, unused):
        for _ in range(min(unused, sum(self.surplus))):
            if not self._remove_pool_page(self.nids, surplus=True):
                break
        self.resv -= unused
