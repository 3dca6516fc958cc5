"""The Merkle tree over a chain's events (RFC 6962, section 2.1): its root, and the proofs that an event is in it.

A leaf's data is the 32 bytes of an event's hash. The tree of ten million events is larger than the memory an export may
take: the root needs no more than the way up to it, and for paths the leaves wait in a file.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import IO

LEAF_BYTES = 32
BLOCK = 1024
"""Leaves that are read and hashed at a time for a path. A power of two, so that each block is a subtree."""
EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, of those of its children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Accumulator:
    """A tree that grows leaf by leaf and keeps no more than a hash for each binary digit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf at the end."""
        top, size = leaf_hash(leaf), self.size
        while size & 1:
            top, size = node_hash(self._peaks.pop(), top), size >> 1
        self._peaks.append(top)
        self.size += 1

    def root(self) -> bytes:
        """The root over the leaves so far: MTH of the RFC."""
        if not self._peaks:
            return EMPTY_ROOT
        *higher, root = self._peaks
        for peak in reversed(higher):
            root = node_hash(peak, root)
        return root


class SpooledTree:
    """A tree whose leaves lie in a file, 32 bytes each; in memory is one hash for each 1,024 of them."""

    def __init__(self, file: IO[bytes]) -> None:
        """`file` is empty, open for reading and writing, and the tree's alone."""
        self._file = file
        self._blocks: list[bytes] = []
        self._last = bytearray()

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._blocks) * BLOCK + len(self._last) // LEAF_BYTES

    def append(self, leaf: bytes) -> None:
        """Add a leaf at the end. Raises ValueError if it has not 32 bytes: those after it would be misread."""
        if len(leaf) != LEAF_BYTES:
            raise ValueError(f"a leaf of {len(leaf)} bytes; it must have {LEAF_BYTES}, those of an event's hash")
        self._last += leaf
        if len(self._last) == BLOCK * LEAF_BYTES:
            self._file.seek(len(self._blocks) * BLOCK * LEAF_BYTES)
            self._file.write(self._last)
            self._blocks.append(_levels(_leaf_hashes(bytes(self._last)))[-1][0])
            self._last.clear()

    def root(self) -> bytes:
        """The root over the leaves so far: MTH of the RFC."""
        return self._upper()[-1][0] if self.size else EMPTY_ROOT

    def paths(self, wanted: Iterable[int]) -> Iterator[list[bytes]]:
        """The audit path of each wanted leaf, from its sibling upwards: PATH of the RFC (section 2.1.1).

        Leaves are counted from 0. In ascending order each block is read once at the most. No leaf may be added
        meanwhile. Raises IndexError for a leaf that is not there.
        """
        upper, current, lower = self._upper(), -1, [[b""]]
        for index in wanted:
            if not 0 <= index < self.size:
                raise IndexError(f"leaf {index} of a tree that has {self.size}")
            block, within = divmod(index, BLOCK)
            if block != current:
                current, lower = block, _levels(_leaf_hashes(self._read(block)))
            yield [*_siblings(lower, within), *_siblings(upper, block)]

    def _upper(self) -> list[list[bytes]]:
        """The levels above the blocks; the last block may be smaller than the others."""
        last = [_levels(_leaf_hashes(bytes(self._last)))[-1][0]] if self._last else []
        return _levels(self._blocks + last)

    def _read(self, block: int) -> bytes:
        if block == len(self._blocks):
            return bytes(self._last)
        self._file.seek(block * BLOCK * LEAF_BYTES)
        return self._file.read(BLOCK * LEAF_BYTES)


def _leaf_hashes(leaves: bytes) -> list[bytes]:
    return [leaf_hash(leaves[start : start + LEAF_BYTES]) for start in range(0, len(leaves), LEAF_BYTES)]


def _levels(hashes: list[bytes]) -> list[list[bytes]]:
    """All levels of the tree over `hashes`, from these up to the root.

    A node without a sibling moves up as it is, which is the same tree as the RFC's largest power of two on the left.
    """
    levels = [hashes]
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        hashes = [node_hash(left, right) for left, right in pairs] + ([hashes[-1]] if len(hashes) % 2 else [])
        levels.append(hashes)
    return levels


def _siblings(levels: list[list[bytes]], index: int) -> Iterator[bytes]:
    """What a node is hashed with on its way from the lowest of `levels` to the highest."""
    for level in levels:
        if (sibling := index ^ 1) < len(level):
            yield level[sibling]
        index >>= 1
