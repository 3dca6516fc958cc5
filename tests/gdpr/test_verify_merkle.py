"""The verifier's Merkle tree against the definition in RFC 6962 and the roots that its implementations agree on."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdpr.verify import MerkleTree, root_of_path
from tests.gdpr.archives import path, root

LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
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


def leaves(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in range(count)]


def test_the_roots_known_from_certificate_transparency() -> None:
    tree = MerkleTree()
    for leaf, expected in zip([*LEAVES, b""], ROOTS, strict=True):
        assert tree.root().hex() == expected
        tree.append(leaf)


def test_each_size_has_the_root_of_the_definition() -> None:
    tree = MerkleTree()
    for count in range(130):
        assert (tree.size, tree.root()) == (count, root(leaves(count)))
        assert len(tree._subtrees) <= count.bit_length()
        tree.append(leaves(count + 1)[-1])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 33])
def test_each_path_leads_to_the_root_and_from_no_other_place(size: int) -> None:
    tree = leaves(size)
    for index in range(size):
        steps = path(index, tree)
        assert root_of_path(tree[index], index=index, size=size, path=steps) == root(tree)
        others = {root_of_path(tree[index], index=other, size=size, path=steps) for other in range(-1, size + 1)}
        assert root_of_path(tree[index], index=index, size=size, path=[*steps, root(tree)]) is None
        assert not steps or root_of_path(tree[index], index=index, size=size, path=steps[:-1]) != root(tree)
        moved = [o for o in range(size) if o != index and root_of_path(tree[index], index=o, size=size, path=steps)]
        assert all(root_of_path(tree[index], index=o, size=size, path=steps) != root(tree) for o in moved)
        assert root(tree) in others


@given(st.integers(1, 200), st.data())
def test_a_changed_leaf_or_path_leads_elsewhere(size: int, data: st.DataObject) -> None:
    tree = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    steps = path(index, tree)
    assert root_of_path(b"other", index=index, size=size, path=steps) != root(tree)
    if steps:
        place = data.draw(st.integers(0, len(steps) - 1))
        steps[place] = bytes(32)
        assert root_of_path(tree[index], index=index, size=size, path=steps) != root(tree)


def test_a_tree_of_absurd_size_costs_nothing() -> None:
    assert root_of_path(b"x", index=2**53 - 2, size=2**53 - 1, path=[bytes(32)] * 100) is None
    assert root_of_path(b"x", index=5, size=5, path=[]) is None
