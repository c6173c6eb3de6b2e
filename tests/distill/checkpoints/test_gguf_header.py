import random
import struct
from pathlib import Path

import pytest

from distill.checkpoints.gguf_header import GgufHeader, read_header
from distill.common.errors import InputError
from tests.distill.gguf_file import write_gguf

gguf = pytest.importorskip("gguf")

SIZES = {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}


def read(file: Path) -> GgufHeader:
    return read_header(file, "generator: x.gguf", SIZES)


def string(text: str, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text.encode()


def start(tensors: int = 0, settings: int = 1, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, settings)


FAMILY = string("general.architecture") + struct.pack("<I", 8) + string("llama")


def test_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    write_gguf(file, "llama", quantised=True)
    header, known = read(file), gguf.GGUFReader(file)
    assert header.architecture == "llama"
    assert header.settings["llama.embedding_length"] == 64
    assert header.settings["tokenizer.chat_template"] == known.fields["tokenizer.chat_template"].contents()
    assert header.settings["tokenizer.ggml.tokens"] == len(known.fields["tokenizer.ggml.tokens"].data)
    for tensor in known.tensors:
        assert header.shapes[tensor.name] == tuple(int(size) for size in reversed(tensor.shape))
        assert header.places[tensor.name] == tensor.data_offset
    assert header.values == sum(tensor.n_elements for tensor in known.tensors)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no GGUF file; download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"GGUF\x03\x00", "goes beyond its end"),
        (start(version=1), "has version 1 of GGUF; expected 2 or 3"),
        (start(version=3 << 24), "of a big-endian machine"),
        (start(tensors=2**60), "tensors, at most 100,000"),
        (start(settings=2**60), "settings, at most 10,000"),
        (start() + string("a", 2**62), "the name of a setting would have 4,6.* bytes"),
        (start() + string("a") + struct.pack("<I", 8) + string("b", 2**40), "a would have 1,0.* bytes"),
        (start() + string("a") + struct.pack("<I", 99), "unknown type 99"),
        (start() + string("a") + struct.pack("<IIQ", 9, 4, 2**61), "entries of a, at most 2,000,000"),
        (start() + string("a") + struct.pack("<IIQ", 9, 9, 1), "a list of the unknown type 9"),
        (start() + string("a") + struct.pack("<IIQ", 9, 8, 1_000_000), "goes beyond its end"),
        (start() + struct.pack("<Q", 2) + b"\xff\xfe", "is no text"),
        (start(settings=2) + 2 * FAMILY, "'general.architecture' twice"),
        (start() + string("a") + struct.pack("<IB", 0, 1), "names no architecture"),
        (start(1) + FAMILY + string("t") + struct.pack("<I", 2**31), "dimensions of t, at most 4"),
        (start(1) + FAMILY + string("t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0) + bytes(64), "t lies beyond its end"),
        (start(1) + FAMILY + string("t") + struct.pack("<IQIQ", 1, 8, 0, 2**63) + bytes(64), "t lies beyond its end"),
        (start(1) + FAMILY + string("t") + struct.pack("<IQIQ", 1, 0, 0, 0) + bytes(64), "t has shape"),
        (start(1) + FAMILY + string("t") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(64), "t has shape"),
        (start(1) + FAMILY + string("t") + struct.pack("<IQIQ", 1, 8, 77, 0) + bytes(64), "t has format 77"),
        (start(2) + FAMILY + 2 * (string("t") + struct.pack("<IQIQ", 1, 8, 0, 0)) + bytes(128), "two tensors have one name"),
        (
            start(9) + FAMILY + b"".join(string(f"t{i}") + struct.pack("<IQIQ", 1, 99, 0, 0) for i in range(9)) + bytes(500),
            "need more bytes than it has",
        ),
    ],
)
def test_hostile_headers(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"^generator: x.gguf.*{message}") as caught:
        read(file)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_damage_of_any_kind(tmp_path: Path) -> None:
    """A cut or changed file reads as a header, or ends in one line."""
    file, damaged = tmp_path / "x.gguf", tmp_path / "y.gguf"
    write_gguf(file)
    whole = file.read_bytes()
    end = min(read(file).places.values())
    chance = random.Random(0)
    refused = 0
    for round_ in range(300):
        content = bytearray(whole)
        if round_ % 3 == 0:
            del content[chance.randrange(len(content) - 32) :]
        for _ in range(chance.choice([1, 1, 8])):
            content[chance.randrange(min(end, len(content)))] = chance.randrange(256)
        damaged.write_bytes(content)
        try:
            read(damaged)
        except InputError:
            refused += 1
    assert refused > 100
