import subprocess
import sys

import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.common.seeding import derive_seed, random_generator, seeded


def test_same_purpose_same_numbers_other_purpose_other_numbers() -> None:
    first = torch.rand(8, generator=random_generator(0, "topic", 3))
    assert torch.equal(first, torch.rand(8, generator=random_generator(0, "topic", 3)))
    for other in [(0, "topic", 4), (1, "topic", 3), (0, "text", 3), (0, "topic", "3"), (0, "topic")]:
        assert not torch.equal(first, torch.rand(8, generator=random_generator(*other)))


def test_the_hash_is_stable_across_versions() -> None:
    # A changed hash would silently change every run, and break the resumption of those in progress.
    assert derive_seed(0, "student", 3) == 2885574485919582330
    code = "from distill.common.seeding import derive_seed; print(derive_seed(0, 'student', 3))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == derive_seed(0, "student", 3)


@given(st.integers(), st.lists(st.one_of(st.text(), st.integers()), max_size=4))
def test_seed_is_in_torch_range(seed: int, purpose: list[str | int]) -> None:
    assert 0 <= derive_seed(seed, *purpose) < 2**63


def test_seeded_block_leaves_the_global_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    with seeded(0, "dropout", 1):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    with seeded(0, "dropout", 1):
        assert torch.equal(torch.rand(4), inside)
