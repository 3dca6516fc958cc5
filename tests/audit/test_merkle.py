import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle
from audit.merkle import BLOCK, Accumulator, SpooledTree

# The leaves, roots and paths that the implementations of Certificate Transparency test themselves with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """MTH, word for word as RFC 6962 defines it."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    k = largest_power_of_two_below(len(leaves))
    return hashlib.sha256(b"\x01" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


def defined_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH, word for word as RFC 6962 defines it."""
    if len(leaves) == 1:
        return []
    k = largest_power_of_two_below(len(leaves))
    if index < k:
        return [*defined_path(index, leaves[:k]), defined_root(leaves[k:])]
    return [*defined_path(index - k, leaves[k:]), defined_root(leaves[:k])]


def largest_power_of_two_below(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def event_hashes(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in range(count)]


def spooled(leaves: Sequence[bytes], file: IO[bytes] | None = None) -> SpooledTree:
    tree = SpooledTree(file or io.BytesIO())
    for leaf in leaves:
        tree.append(leaf)
    return tree


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_roots_of_certificate_transparency(size: int) -> None:
    accumulator = Accumulator()
    for leaf in LEAVES[:size]:
        accumulator.append(leaf)
    assert accumulator.root().hex() == defined_root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_the_paths_of_certificate_transparency(index: int, size: int) -> None:
    levels = merkle._levels([merkle.leaf_hash(leaf) for leaf in LEAVES[:size]])
    path = [sibling.hex() for sibling in merkle._siblings(levels, index)]
    assert path == [sibling.hex() for sibling in defined_path(index, LEAVES[:size])] == PATHS[index, size]


@hypothesis.settings(deadline=None)  # the machine may be busy
@given(size=st.integers(0, 70), block=st.sampled_from([1, 2, 4, 16]))
def test_every_root_and_every_path_is_the_one_that_the_rfc_defines(size: int, block: int) -> None:
    leaves = event_hashes(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "BLOCK", block)
        tree, accumulator = spooled(leaves), Accumulator()
        for leaf in leaves:
            accumulator.append(leaf)
        assert tree.root() == accumulator.root() == defined_root(leaves)
        assert tree.size == accumulator.size == size
        assert list(tree.paths(range(size))) == [defined_path(index, leaves) for index in range(size)]


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 3 * BLOCK, 3 * BLOCK + 1])
def test_blocks_end_where_subtrees_end(size: int, tmp_path: Path) -> None:
    leaves = event_hashes(size)
    wanted = sorted({0, 1, BLOCK - 2, *(min(index, size - 1) for index in (BLOCK - 1, BLOCK)), size // 2, size - 1})
    with (tmp_path / "leaves").open("w+b") as file:
        tree = spooled(leaves, file)
        assert tree.root() == defined_root(leaves)
        assert list(tree.paths(wanted)) == [defined_path(index, leaves) for index in wanted]


def test_each_block_is_read_once_for_all_its_leaves() -> None:
    reads = []

    class Watched(SpooledTree):
        def _read(self, block: int) -> bytes:
            reads.append(block)
            return super()._read(block)

    tree = Watched(io.BytesIO())
    for leaf in event_hashes(3 * BLOCK):
        tree.append(leaf)
    assert len(list(tree.paths([0, 5, BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1]))) == 5
    assert reads == [0, 2]


@pytest.mark.parametrize("index", [-1, 3, BLOCK])
def test_a_leaf_that_is_not_there_has_no_path(index: int) -> None:
    with pytest.raises(IndexError, match=f"leaf {index} of a tree that has 3"):
        list(spooled(event_hashes(3)).paths([0, index]))


@pytest.mark.parametrize("leaf", [b"", b"\x00" * 31, b"0" * 64], ids=len)
def test_what_is_no_event_hash_is_no_leaf(leaf: bytes) -> None:
    with pytest.raises(ValueError, match=f"a leaf of {len(leaf)} bytes; it must have 32"):
        SpooledTree(io.BytesIO()).append(leaf)
