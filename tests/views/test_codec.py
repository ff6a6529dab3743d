"""The handlers as kernel/sysctl-test.c tries them: bounds, sign, blanks, junk."""

from __future__ import annotations

from errno import EINVAL, ERANGE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmfs.kernel import Arch, Kernel
from vmfs.views.codec import (
    INT_MAX,
    INT_MIN,
    Bool,
    Int,
    IntVector,
    Jiffies,
    LowmemReserveRatio,
    Parsed,
    String,
    UInt,
    ULong,
    Write,
)
from vmfs.views.kstrtox import Choice, Flag, Millisecs, kstrtobool, kstrtoull

OLD = Kernel.of((5, 10))
LTS = Kernel.of((6, 1))
NEW = Kernel.of((7, 2))
I386 = Kernel.of((6, 1), Arch.I386)


def write(data: bytes, offset: int = 0, kernel: Kernel = LTS) -> Write:
    return Write(data, offset, kernel)


@pytest.mark.parametrize(
    ("data", "value", "consumed"),
    [
        (b"60\n", 60, 3),
        (b"60", 60, 2),
        (b" 60 \n", 60, 5),
        (b"\t60\n", 60, 4),
        (b"\v\f\r\xa060", 60, 6),
        (b"0x3c\n", 60, 5),
        (b"0X3C", 60, 4),
        (b"074\n", 60, 4),
        (b"5 \r\n", 5, 4),
        (b"1 2\n", 1, 2),
        (b"5 abc\n", 5, 2),
        (b"00000000000000000005", 5, 20),
        (b"-0", 0, 2),
        (b"", 7, 0),
        (b" " * 4094 + b"5", 5, 4095),
        (b"5" + b" " * 5000, 5, 5001),
        (b" " * 4094 + b"60", 6, 4096),  # only 4095 bytes are looked at
    ],
)
def test_int_takes(data, value, consumed):
    assert Int(0, 200).parse(write(data), 7) == Parsed(value, consumed)


NOT_NUMBERS = (
    b"08\n",
    b"+5\n",
    b"5,\n",
    b"5abc\n",
    b"5\r\n",
    b"5\0",
    b"abc\n",
    b"-\n",
    b"- 5\n",
    b"\n",
    b"   ",
)
NO_LONGS = (b"0x", b"0xg", b"1.5", b"--1", b"\0", b"18446744073709551616", b"000000000000000000005\n")
OUT_OF_RANGE = (b"-1\n", b"201\n", b"99999999999\n", b" " * 4095 + b"5")


@pytest.mark.parametrize("data", NOT_NUMBERS + NO_LONGS + OUT_OF_RANGE)
def test_int_refuses_and_keeps_the_old_value(data):
    parsed = Int(0, 200).parse(write(data), 7)
    assert (parsed.value, parsed.errno) == (7, EINVAL)


def test_a_write_behind_the_start_is_swallowed():
    assert Int(0, 200).parse(write(b"junk", 3), 7) == Parsed(7, 4)


@given(st.integers(INT_MIN, INT_MAX))
def test_int_reads_back_what_it_shows(value):
    text = Int().format(value)
    assert Int().parse(write(text.encode()), 0) == Parsed(value, len(text))
    assert Int().load(text) == value


@given(st.binary(max_size=40), st.integers(0, 200))
def test_int_never_leaves_its_bounds_nor_takes_more_than_was_written(data, old):
    parsed = Int(0, 200).parse(write(data), old)
    assert 0 <= parsed.value <= 200
    assert 0 <= parsed.consumed <= len(data)
    assert parsed.errno in {0, EINVAL}


@pytest.mark.parametrize("number", [1, 7])
def test_a_gap_in_the_range(number):
    assert Int(0, refused=range(1, 8)).parse(write(b"%d" % number), 0).errno == EINVAL
    assert Int(0, refused=range(1, 8)).parse(write(b"8"), 0) == Parsed(8, 1)


def test_the_start_of_a_vector_stays_stored_when_a_later_number_is_bad():
    vector = IntVector()
    assert vector.parse(write(b"1 2 x"), [9, 9, 9]) == Parsed([1, 2, 9], 4, EINVAL)
    assert vector.parse(write(b"1 2"), [9, 9, 9]) == Parsed([1, 2, 9], 3)
    assert vector.parse(write(b"1 2 3 4"), [9, 9, 9]) == Parsed([1, 2, 3], 6)


def test_lowmem_reserve_ratio_never_fails():
    codec = LowmemReserveRatio()
    assert codec.parse(write(b"abc"), [256, 32]) == Parsed([256, 32], 3)
    assert codec.parse(write(b"-5 7 9"), [256, 32]) == Parsed([0, 7], 5)
    assert codec.parse(write(b"8 foo bar"), [256, 32]) == Parsed([8, 32], 2)


def test_negative_ulong_by_release():
    assert ULong().parse(write(b"-1", kernel=LTS), 5) == Parsed(5, 2, EINVAL)
    assert ULong().parse(write(b"-0", kernel=LTS), 5) == Parsed(5, 2, EINVAL)
    assert ULong().parse(write(b"-1", kernel=OLD), 5) == Parsed(5, 2)


def test_ulong_is_as_wide_as_the_machine():
    assert ULong().parse(write(b"%d" % (2**64 - 1)), 0).value == 2**64 - 1
    assert ULong().parse(write(b"%d" % 2**64), 0).errno == EINVAL
    assert ULong().parse(write(b"%d" % (2**32 - 1), kernel=I386), 0).value == 2**32 - 1
    assert ULong().parse(write(b"%d" % 2**32, kernel=I386), 0).errno == EINVAL


def test_ulong_bounds():
    assert ULong(8192).parse(write(b"8191"), 0).errno == EINVAL
    assert ULong(8192).parse(write(b"8192"), 0) == Parsed(8192, 4)


def test_uint_swallows_what_follows():
    assert UInt().parse(write(b"1 2\n"), 0) == Parsed(1, 4)
    assert UInt().parse(write(b"-1"), 0).errno == EINVAL
    assert UInt().parse(write(b"4294967296"), 0).errno == EINVAL


def test_bool_takes_what_fits_the_release():
    assert Bool().parse(write(b"-3", kernel=NEW), 0) == Parsed(1, 2)
    assert Bool().parse(write(b"4294967296", kernel=LTS), 0) == Parsed(1, 10)
    assert Bool().parse(write(b"4294967296", kernel=NEW), 0).errno == EINVAL


def test_seconds_must_fit_an_int_of_ticks():
    assert Jiffies().parse(write(b"8589934"), 0).value == 8589934
    assert Jiffies().parse(write(b"8589935"), 0).errno == EINVAL
    assert Jiffies().parse(write(b"-1"), 0).value == -1


def test_string():
    codec = String(8)
    assert codec.parse(write(b"core\nmore"), "") == Parsed("core", 9)
    assert codec.parse(write(b"0123456789"), "") == Parsed("0123456", 10)
    assert codec.parse(write(b"xy", 2), "abcd") == Parsed("abxy", 2)
    assert codec.parse(write(b"xy", 5), "abcd") == Parsed("abcd", 2)
    assert codec.parse(write(b""), "abcd") == Parsed("abcd", 0)
    assert codec.parse(write(b"\n"), "abcd") == Parsed("", 1)


@pytest.mark.parametrize(
    ("data", "base", "value"),
    [
        (b"10", 10, 10),
        (b"+10\n", 10, 10),
        (b"010", 10, 10),
        (b"0x10", 0, 16),
        (b"010", 0, 8),
        (b"7\0x", 10, 7),
    ],
)
def test_kstrtoull(data, base, value):
    assert kstrtoull(data, base, 2**64 - 1) == value


@pytest.mark.parametrize("data", [b" 10", b"10 ", b"-1", b"\n", b"+", b"0x10", b"10\n\n", b""])
def test_kstrtoull_refuses_what_is_not_a_number(data):
    with pytest.raises(OSError) as caught:
        kstrtoull(data, 10, 255)
    assert caught.value.errno == EINVAL


@pytest.mark.parametrize("data", [b"256", b"99999999999999999999x"])
def test_kstrtoull_says_when_a_number_is_too_large(data):
    with pytest.raises(OSError) as caught:
        kstrtoull(data, 10, 255)
    assert caught.value.errno == ERANGE


@pytest.mark.parametrize(
    ("word", "old", "lts", "new"),
    [
        (b"yes", True, True, True),
        (b"1 2", True, True, True),
        (b"on", True, True, True),
        (b"OFF", False, False, False),
        (b"never", False, False, False),
        (b"true", None, True, True),
        (b"False", None, False, False),
        (b"defer", None, None, False),
        (b"enable", None, None, True),
        (b"o", None, None, None),
        (b"2", None, None, None),
        (b"", None, None, None),
    ],
)
def test_kstrtobool_by_release(word, old, lts, new):
    for kernel, expected in ((OLD, old), (LTS, lts), (NEW, new)):
        if expected is None:
            with pytest.raises(OSError) as caught:
                kstrtobool(word, kernel)
            assert caught.value.errno == EINVAL
        else:
            assert kstrtobool(word, kernel) is expected


def test_choice():
    codec = Choice(("always", "madvise", "never"))
    assert codec.format("madvise") == "always [madvise] never\n"
    assert codec.load("always [madvise] never\n") == "madvise"
    assert codec.parse(write(b"never\n"), "always") == Parsed("never", 6)
    for bad in (b"nev", b"never\n\n", b" never", b"NEVER", b"\n"):
        assert codec.parse(write(bad), "always") == Parsed("always", 0, EINVAL)


def test_flag_and_milliseconds():
    assert Flag(("false", "true")).format(True) == "true\n"
    assert [Millisecs().parse(write(b"%d" % n), 0).value for n in (0, 1, 4, 5, 4096)] == [0, 4, 4, 8, 4096]
    assert Millisecs().parse(write(b"4294967295"), 0).value == 4294967288
