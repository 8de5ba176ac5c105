"""What each data file of an initialisation needs: the same for a few files as for millions (protocol 01-post, 3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prover.post.init.plan import FilePlan, FilePlans
from prover.post.layout import Layout

LAYOUTS = st.builds(Layout, num_labels=st.integers(1, 200), max_file_size=st.integers(16, 400))


@given(LAYOUTS, st.dictionaries(st.integers(0, 14), st.integers(0, 500), max_size=8), st.integers(0, 5), st.data())
def test_every_file_keeps_its_whole_labels(
    layout: Layout, sizes: dict[int, int], first: int, data: st.DataObject
) -> None:
    first = min(first, layout.num_files - 1)
    numbers = range(first, data.draw(st.integers(first + 1, layout.num_files)))
    plans = FilePlans(layout, numbers, sizes)
    expected = []
    for number in numbers:
        size, target = sizes.get(number, 0), layout.file_labels(number)
        keep = min(size // 16, target)
        expected.append(FilePlan(number, keep, size > 16 * keep, target))
    assert list(plans) == expected and len(plans) == len(expected)
    assert plans.num_labels == sum(one.target for one in expected)
    assert plans.there == [one for one in expected if one.number in sizes]
    assert list(plans[1:]) == expected[1:] and plans[-1] == expected[-1]
    assert list(reversed(plans)) == expected[::-1]


def test_millions_of_files_are_counted_and_not_listed() -> None:
    layout = Layout(2**52 + 1, 4 << 30)
    plans = FilePlans(layout, layout.files(None, None), {7: 4 << 30, 2**24: 16, 2**30: 5})
    assert (len(plans), plans.num_labels) == (2**24 + 1, 2**52 + 1)
    assert [one.number for one in plans.there] == [7, 2**24]
    assert plans[-1] == FilePlan(2**24, 1, False, 1)
