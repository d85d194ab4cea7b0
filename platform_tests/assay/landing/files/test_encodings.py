"""Encodings: found per file, repaired per field, whatever text it is."""

from __future__ import annotations

import codecs
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.landing.files.encodings import Broken, has_foreign_bytes, is_sound, repaired, rewrite_utf16, utf16_of

# Neither half surrogate pairs, which no encoding has, nor the control characters that only Latin-1 has.
TEXT = st.text(st.characters(exclude_categories=("Cs",)))
WESTERN = st.text(st.sampled_from([chr(code) for code in range(32, 127)] + list("éèüöäßñç€–—“”’…Œœ™£§°")))


def is_valid(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def as_windows(raw: bytes) -> str:
    """What Windows' bytes say: a few texts of Windows' hold valid UTF-8, and nobody can tell."""
    return raw.decode("utf-8", errors="windows-1252")


codecs.register_error("windows-1252", lambda error: (error.object[error.start : error.end].decode("cp1252"), error.end))


def read_field(raw: bytes) -> str:
    return repaired(raw.decode("utf-8", "surrogateescape"))


class TestFields:
    @given(TEXT)
    def test_utf8_stays(self, text: str) -> None:
        assert read_field(text.encode()) == text

    @given(st.lists(st.tuples(TEXT, WESTERN)))
    def test_what_is_not_utf8_is_windows_1252_and_what_is_stays(self, pieces: list[tuple[str, str]]) -> None:
        # Between ASCII, pieces of either kind cannot make one character together.
        raw = b"".join(text.encode() + b"|" + western.encode("cp1252") + b"|" for text, western in pieces)
        assert read_field(raw) == "".join(f"{text}|{as_windows(western.encode('cp1252'))}|" for text, western in pieces)

    @pytest.mark.parametrize(
        ("raw", "text"),
        [(b"\xc3\xa9\xe9", "éé"), (b"\xe9\xc3\xa9", "éé"), ("5 €".encode() + b" \x80 \x96", "5 € € –"), (b"\xe2\x82", "â‚")],
    )
    def test_a_stray_byte_spoils_no_other(self, raw: bytes, text: str) -> None:
        assert read_field(raw) == text

    @given(st.binary())
    def test_every_byte_means_something_and_none_a_replacement(self, raw: bytes) -> None:
        text = read_field(raw)
        assert "\ufffd" not in text or "\ufffd".encode() in raw
        assert text.encode().decode() == text

    def test_bytes_that_windows_1252_does_not_define_are_latin_1(self) -> None:
        assert read_field(b"\x80\x81\x8d\x8f\x90\x9d\x9f") == "€\x81\x8d\x8f\x90\x9dŸ"

    @given(st.binary())
    def test_foreign_bytes_are_told(self, raw: bytes) -> None:
        assert has_foreign_bytes(raw.decode("utf-8", "surrogateescape")) == (not is_valid(raw))


class TestFiles:
    @given(st.one_of(st.binary(max_size=40), st.text(st.sampled_from("aé€\ufffd")).map(str.encode)), st.integers(0, 3))
    def test_a_file_is_sound_wherever_its_chunks_end(self, raw: bytes, padding: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_bytes(b"x" * ((1 << 20) - padding) + raw)
            assert is_sound(path) == (is_valid(raw) and "\ufffd".encode() not in raw)

    @given(TEXT, st.sampled_from(["utf-16-le", "utf-16-be"]))
    def test_utf16_is_told_by_its_mark_and_keeps_every_text(self, text: str, kind: str) -> None:
        mark = codecs.BOM_UTF16_LE if kind == "utf-16-le" else codecs.BOM_UTF16_BE
        raw = mark + text.encode(kind)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            found = utf16_of(raw)
            assert found == kind
            assert rewrite_utf16(io.BytesIO(raw), found, path) is None
            assert path.read_bytes() == text.encode()

    @pytest.mark.parametrize(("cut", "offset"), [(1, 4), (3, 4), (2, 4)])
    def test_utf16_that_ends_within_a_character_keeps_what_is_before(self, tmp_path: Path, cut: int, offset: int) -> None:
        raw = codecs.BOM_UTF16_LE + "a😀".encode("utf-16-le")
        broken = rewrite_utf16(io.BytesIO(raw[:-cut]), "utf-16-le", tmp_path / "file")
        assert broken == Broken(offset, "the UTF-16 text ends within a character")
        assert (tmp_path / "file").read_bytes() == b"a"

    @pytest.mark.parametrize("start", [b"", b"\xff", b"id", codecs.BOM_UTF8])
    def test_other_files_have_no_mark(self, start: bytes) -> None:
        assert utf16_of(start) is None
