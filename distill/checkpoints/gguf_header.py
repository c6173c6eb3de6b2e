"""Read the header of a GGUF file as data: bounded, and in one pass, before any library sees the file.

A GGUF file is one file with everything: settings, tokenizer, chat template and weights. Readers allocate what its counts and
lengths say, so a damaged or hostile file could ask for any amount of memory. Here each of them is checked against the file's
own size, and against limits that no model in use comes near.

References:
    https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

import math
import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.checkpoints.model_config import MAX_JSON_BYTES, MAX_VOCABULARY
from distill.common.errors import InputError

VERSIONS = (2, 3)

MOST_SETTINGS, MOST_TENSORS, MOST_DIMENSIONS = 10_000, 100_000, 4
LONGEST_KEY, LONGEST_TOKEN = 2**16 - 1, 2**16
LARGEST_ALIGNMENT = 2**16

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of settings that hold one number, and how `struct` names them."""

STRING, ARRAY = 8, 9

ARCHITECTURE = re.compile(r"[a-z0-9][\w.-]{0,63}")


@dataclass(frozen=True)
class GgufHeader:
    """What the header of a GGUF file says.

    Attributes:
        settings: Numbers and texts by name. A list is represented by its length.
        shapes: Shape of each tensor by name, in torch's order: rows first.
        places: Where each tensor begins in the file, in bytes.
    """

    settings: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    places: dict[str, int]

    @property
    def architecture(self) -> str:
        """The family of the model in llama.cpp's terms, such as `llama`."""
        return str(self.settings["general.architecture"])

    @property
    def values(self) -> int:
        """Number of weights."""
        return sum(map(math.prod, self.shapes.values()))


def read_header(path: Path, about: str, block_sizes: dict[int, tuple[int, int]]) -> GgufHeader:
    """Read the header of a GGUF file, and check that the file holds all that it describes.

    Args:
        path: The file.
        about: Setting and name, at the beginning of messages: "generator: models/x.gguf".
        block_sizes: For each number of a tensor's format, the values in a block and the bytes of a block.

    Raises:
        InputError: The file is no GGUF file, is cut off or damaged, or is beyond a limit.
    """
    with path.open("rb") as stream:
        begin = stream.read(40)
        if begin[:4] != b"GGUF":
            pointer = begin.startswith(b"version https://git-lfs")
            remedy = "it is a pointer of git-lfs: run git lfs pull" if pointer else "download it again"
            raise InputError(f"{about} is no GGUF file; {remedy}.")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(content, about).header(block_sizes)


class _Reader:
    """Reads one file from its beginning.

    Args:
        content: The file.
        about: See `read_header`.
    """

    def __init__(self, content: mmap.mmap, about: str) -> None:
        self.content, self.about, self.place = content, about, 4

    def header(self, block_sizes: dict[int, tuple[int, int]]) -> GgufHeader:
        """Read everything but the weights."""
        (version,) = self._numbers("I")
        if version not in VERSIONS:
            raise InputError(
                f"{self.about} has version {version if version < 2**16 else 'of a big-endian machine'} of GGUF; expected "
                f"{' or '.join(map(str, VERSIONS))}: convert the model again."
            )
        tensors, settings = self._numbers("QQ")
        self._limit("tensors", tensors, MOST_TENSORS)
        self._limit("settings", settings, MOST_SETTINGS)
        found: dict[str, Any] = {}
        for _ in range(settings):
            key = self._string("the name of a setting", LONGEST_KEY)
            if key in found:
                raise self._damaged(f"it has the setting {key[:80]!r} twice")
            found[key] = self._value(key, self._numbers("I")[0])
        family = found.get("general.architecture")
        if not isinstance(family, str) or not ARCHITECTURE.fullmatch(family):
            raise self._damaged("it names no architecture")
        table = [self._tensor() for _ in range(tensors)]
        begin = self._checked_begin(table, found.get("general.alignment", 32), block_sizes)
        shapes = {name: shape for name, shape, _, _ in table}
        if len(shapes) < len(table):
            raise self._damaged("two tensors have one name")
        return GgufHeader(found, shapes, {name: begin + offset for name, _, _, offset in table})

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Read the name, shape, format and place of a tensor."""
        name = self._string("the name of a tensor", LONGEST_KEY)
        (dimensions,) = self._numbers("I")
        self._limit(f"dimensions of {name[:80]}", dimensions, MOST_DIMENSIONS)
        shape = self._numbers(f"{dimensions}Q")
        kind, offset = self._numbers("IQ")
        return name, tuple(reversed(shape)), kind, offset

    def _checked_begin(
        self, table: list[tuple[str, tuple[int, ...], int, int]], alignment: Any, block_sizes: dict[int, tuple[int, int]]
    ) -> int:
        """Return where the weights begin; check that every tensor lies within the file, and that they do not share bytes."""
        if not isinstance(alignment, int) or not 0 < alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
            raise self._damaged(f"its alignment is {str(alignment)[:20]}")
        begin = -(-self.place // alignment) * alignment
        total = 0
        for name, shape, kind, offset in table:
            if kind not in block_sizes:
                raise InputError(
                    f"{self.about}: {name[:80]} has format {kind}, which the library gguf does not know: update it."
                )
            values, size = block_sizes[kind]
            count = math.prod(shape)
            if count < 1 or shape[-1:] == () or shape[-1] % values:
                raise self._damaged(f"{name[:80]} has shape {shape}")
            total += count // values * size
            if begin + offset + count // values * size > len(self.content):
                raise self._damaged(f"{name[:80]} lies beyond its end")
        if total > len(self.content):
            raise self._damaged("its tensors need more bytes than it has")
        return begin

    def _value(self, key: str, kind: int) -> Any:
        if kind in NUMBERS:
            return self._numbers(NUMBERS[kind])[0]
        if kind == STRING:
            return self._string(key, MAX_JSON_BYTES)
        if kind != ARRAY:
            raise self._damaged(f"{key[:80]} has the unknown type {kind}")
        inner, count = self._numbers("IQ")
        self._limit(f"entries of {key[:80]}", count, 2 * MAX_VOCABULARY)
        if inner in NUMBERS:
            self._skip(count * struct.calcsize("<" + NUMBERS[inner]))
        elif inner == STRING:
            for _ in range(count):
                self._skip(self._length(key, LONGEST_TOKEN))
        else:
            raise self._damaged(f"{key[:80]} is a list of the unknown type {inner}")
        return count

    def _numbers(self, kinds: str) -> tuple[Any, ...]:
        size = struct.calcsize("<" + kinds)
        self._skip(size)
        return struct.unpack_from("<" + kinds, self.content, self.place - size)

    def _string(self, what: str, longest: int) -> str:
        length = self._length(what, longest)
        self._skip(length)
        try:
            return self.content[self.place - length : self.place].decode()
        except UnicodeDecodeError:
            raise self._damaged(f"{what[:80]} is no text") from None

    def _length(self, what: str, longest: int) -> int:
        (length,) = self._numbers("Q")
        if length > longest:
            raise self._damaged(f"{what[:80]} would have {length:,} bytes, at most {longest:,} are read")
        return int(length)

    def _skip(self, size: int) -> None:
        self.place += size
        if self.place > len(self.content):
            raise self._damaged("its header goes beyond its end")

    def _limit(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise self._damaged(f"it would have {count:,} {what}, at most {limit:,} are read")

    def _damaged(self, reason: str) -> InputError:
        return InputError(f"{self.about} is damaged or cut off ({reason}); download it again.")
