"""Which label is in which file: the reference's own cases (protocol 01-post, section 3) and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.errors import UsageError
from prover.post.layout import Layout, file_name, file_number, looks_like_data

LPU = 128

# units, max file size -> labels per file, files, labels in the last file
REFERENCE = [
    (10, 2048, 128, 10, 128),
    (10, 2000, 125, 11, 30),
    (99, 4096, 256, 50, 128),
    (100, 2048, 128, 100, 128),
]


@pytest.mark.parametrize(("units", "size", "per_file", "files", "last"), REFERENCE)
def test_the_layout_is_the_references(units: int, size: int, per_file: int, files: int, last: int) -> None:
    layout = Layout(units * LPU, size)
    assert (layout.labels_per_file, layout.num_files) == (per_file, files)
    assert [layout.file_labels(k) for k in range(files)] == [per_file] * (files - 1) + [last]
    assert layout.files(None, None) == range(files)


def test_post_rs_counts_the_same_files() -> None:
    assert Layout(100 * 77, 1024).num_files == 121


RANGES = [
    (None, None, range(0, 100)),
    (1, None, range(1, 100)),
    (None, 2, range(0, 3)),
    (None, 0, range(0, 1)),
    (99, 99, range(99, 100)),
    (3, 7, range(3, 8)),
]


@pytest.mark.parametrize(("first", "last", "expected"), RANGES)
def test_a_range_of_files_includes_both_ends(first: int | None, last: int | None, expected: range) -> None:
    assert Layout(100 * LPU, 2048).files(first, last) == expected


BAD_RANGES = [
    (1, 0),
    (None, -1),
    (None, 1_000_000),
    (None, 100),
    (-1, None),
    (100, None),
    (100, 100),
    (-2, -1),
]


@pytest.mark.parametrize(("first", "last"), BAD_RANGES)
def test_a_range_outside_the_layout_is_refused(first: int | None, last: int | None) -> None:
    with pytest.raises(UsageError) as caught:
        Layout(100 * LPU, 2048).files(first, last)
    message = str(caught.value)
    assert "--from-file" in message and "--to-file" in message and "<= 99" in message
    assert caught.value.exit_code == 2


def test_no_labels_need_no_file() -> None:
    layout = Layout(0, 2048)
    assert layout.num_files == 0
    assert layout.files(None, None) == range(0)
    with pytest.raises(UsageError, match="no files"):
        layout.files(0, None)


@pytest.mark.parametrize(("labels", "size"), [(10, 0), (10, 15), (10, -16), (-1, 4096)])
def test_a_layout_that_holds_nothing_is_refused(labels: int, size: int) -> None:
    with pytest.raises(UsageError):
        Layout(labels, size)


def test_beyond_the_data() -> None:
    layout = Layout(1000, 2048)
    assert (layout.file_labels(7), layout.file_labels(8), layout.file_size(8)) == (104, 0, 0)
    assert layout.first_label(8) == 1024
    for label in (-1, 1000, 2**64 - 1):
        with pytest.raises(ValueError):
            layout.locate(label)
    for of_file in (layout.file_labels, layout.first_label, layout.file_size):
        with pytest.raises(ValueError):
            of_file(-1)


def test_files_above_4_gib_and_positions_beyond_32_bits() -> None:
    mainnet = Layout(4 * 2**32, 4 * 1024**3)
    assert (mainnet.num_files, mainnet.labels_per_file) == (64, 2**28)
    assert mainnet.locate(2**32) == (16, 0)
    assert mainnet.locate(2**34 - 1) == (63, 2**32 - 16)
    one_file = Layout(4 * 2**32, 2**40)
    assert one_file.locate(2**34 - 1) == (0, 2**38 - 16)
    assert one_file.file_size(0) == 2**38


layouts = st.builds(
    Layout,
    st.integers(0, 2**64) | st.integers(0, 5000),
    st.integers(16, 2**64 - 1) | st.integers(16, 4096) | st.integers(2**32 - 64, 2**33),
)


@given(layouts, st.data())
def test_a_label_is_where_its_file_says(layout: Layout, data: st.DataObject) -> None:
    if layout.num_labels == 0:
        return
    label = data.draw(st.integers(0, layout.num_labels - 1))
    k, offset = layout.locate(label)
    assert 0 <= k < layout.num_files
    assert offset % 16 == 0 and 0 <= offset < layout.file_size(k) <= layout.max_file_size
    assert layout.first_label(k) + offset // 16 == label
    assert layout.locate(layout.first_label(k)) == (k, 0)


@given(layouts)
def test_files_hold_every_label_once(layout: Layout) -> None:
    files = layout.num_files
    full = max(0, files - 1)
    last = layout.file_labels(files - 1) if files else 0
    assert full * layout.labels_per_file + last == layout.num_labels
    assert not files or 0 < last <= layout.labels_per_file
    assert layout.file_labels(files) == 0
    if files <= 1000:
        assert sum(layout.file_labels(k) for k in range(files)) == layout.num_labels


@given(layouts, st.none() | st.integers(-3, 20), st.none() | st.integers(-3, 20))
def test_any_accepted_range_is_inside(layout: Layout, first: int | None, last: int | None) -> None:
    try:
        files = layout.files(first, last)
    except UsageError:
        return
    if files:
        assert 0 <= files[0] <= files[-1] < layout.num_files
        assert files[0] == (first or 0)
        assert files[-1] == (layout.num_files - 1 if last is None else last)
    else:
        assert layout.num_files == 0


@given(st.integers(0, 10**12))
def test_a_file_name_has_its_number(k: int) -> None:
    assert file_number(file_name(k)) == k
    assert not looks_like_data(file_name(k))


LOOKALIKES = [
    "postdata_001.bin",
    "postdata_00.bin",
    "postdata_9xbin",
    "postdata_1.bin.bak",
    "postdata_0.bin~",
    "copy of postdata_3.bin",
    "postdata_+1.bin",
    "postdata_-1.bin",
    "postdata_1000000000000000000.bin",
    "postdata_99999999999999999999999.bin",
    f"postdata_{'9' * 5000}.bin",
]
STRANGERS = [
    "foo.txt",
    "postdata_metadata.json",
    "postdata_.bin",
    "postdata_1.bi",
    "postdata_a.bin",
    "postdata_0x1.bin",
    "postdata_1_0.bin",
    "postdata_ 1.bin",
    "postdata_1 .bin",
    "postdata_1.bin.bin",
    "postdata_\u0663.bin",
    "POSTDATA_1.bin",
    "smesher.json",
    "",
]


@pytest.mark.parametrize("name", LOOKALIKES)
def test_names_that_only_the_reference_takes_for_data(name: str) -> None:
    assert file_number(name) is None
    assert looks_like_data(name)


@pytest.mark.parametrize("name", STRANGERS)
def test_names_that_nobody_takes_for_data(name: str) -> None:
    assert file_number(name) is None
    assert not looks_like_data(name)


@given(st.text() | st.from_regex(r"postdata_.{0,6}.?bin.{0,4}"))
def test_any_name_gets_an_answer(name: str) -> None:
    number = file_number(name)
    assert number is None or file_name(number) == name
    assert not (number is not None and looks_like_data(name))
