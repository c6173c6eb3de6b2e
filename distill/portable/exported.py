"""A classifier in a folder with an ONNX or OpenVINO program, its tokenizer.json and its config.json.

It is read as the service that it is meant for would read it: with `tokenizers` and the runtime, not with transformers. So
what `prompter evaluate` and the check of an export measure is what is deployed.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from distill.checkpoints.checksums import check_folder
from distill.checkpoints.model_config import check_tokenizer_files
from distill.checkpoints.weights import file_of
from distill.common.encode import COUNTED
from distill.common.errors import InputError
from distill.kinds.found import kind_of_model
from distill.kinds.names import NOT_GIVEN, GivenKind
from distill.kinds.rows import none, outputs_below
from distill.kinds.words import read_places, words_of
from distill.portable.formats import find_program
from distill.teachers.probabilities import count
from distill.teachers.transformers_teacher import activated, classifier_config, heeded_activation

BATCH_ROWS, BATCH_TOKENS = 64, 4096
"""Most texts, and most padded tokens, that the runtime gets at once."""

Run = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Takes the inputs by name, (N, L) int64 each, and returns (N, K) logits."""


class ExportedClassifier:
    """A classifier that runs on ONNX Runtime or OpenVINO, on the CPU.

    Args:
        path: Folder with `model.onnx` or `openvino_model.xml`, `tokenizer.json` and `config.json`.
        field: Name of the setting, for messages.
        max_length: Longer texts are cut to this many tokens, and to what `tokenizer.json` says.
        given: What the user says about its kind.

    Attributes:
        kind: What its answers are.
        activation: See `distill.teachers.transformers_teacher.TransformersTeacher`.
        labels: The K class names, in the order of the outputs.
        path: The folder.
        bytes: Size of the program with its weights.
        queries: Number of texts asked so far.
        invalid: Number of these texts whose answer was not finite.

    Raises:
        InputError: A file is missing or damaged, the runtime is not installed, or the program is no text classifier.
    """

    def __init__(self, path: str | Path, field: str = "teacher", max_length: int = 512, given: GivenKind = NOT_GIVEN) -> None:
        self.path, self.queries, self.invalid = str(path), 0, 0
        self._about = f"{field}: {path}"
        folder, program = Path(path).expanduser(), find_program(path)
        if program is None:
            raise InputError(
                f"{self._about} holds no program; expected model.onnx or openvino_model.xml, and no other weights."
            )
        for file in sorted(folder.glob(f"{program.stem}.*")):
            file_of(str(folder), file.name, None)  # a pointer of Git LFS is named
        check_folder(folder, self._about)
        config = classifier_config(path, field)
        self.kind = kind_of_model(config, given, self._about)
        self.activation = heeded_activation(config, self.kind, given, self._about)
        self.labels = [str(config.id2label[i]) for i in range(config.num_labels)]
        self._tokenizer = _read_tokenizer(folder, self._about)
        rows = getattr(config.get_text_config(), "vocab_size", None)
        tokens = 1 + max(self._tokenizer.get_vocab().values(), default=-1)  # more than there are where numbers are left out
        if isinstance(rows, int) and tokens > rows:  # OpenVINO reads beyond the table without a word
            raise InputError(
                f"{self._about} knows {rows} words, but its tokenizer.json has {tokens}; copy that of the student beside it."
            )
        cut, padding = self._tokenizer.truncation or {}, self._tokenizer.padding or {}
        self.reads = min(max_length, cut.get("max_length", max_length))
        self._tokenizer.enable_truncation(self.reads, direction=cut.get("direction", "right"))
        self._tokenizer.no_padding()
        pad = padding.get("pad_id", config.pad_token_id)
        self._pad = int(pad) if isinstance(pad, int) else 0
        self._pad_type, self._left = int(padding.get("pad_type_id", 0)), padding.get("direction") == "left"
        self._names, self._run = _OPENERS[program.suffix](program, self._about)
        if "input_ids" not in self._names:
            raise InputError(f"{self._about} takes {', '.join(self._names)}; expected a text classifier that takes input_ids.")
        self.bytes = sum(file.stat().st_size for file in folder.glob(f"{program.stem}*") if file.suffix != ".json")
        width = self.logits(["A text."]).shape[-1]
        if width != len(self.labels):
            raise InputError(f"{self._about} gives {width} outputs, but its config.json names {len(self.labels)} classes.")

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, see `kind`; an answer that is not finite is a row of NaN.

        Raises:
            InputError: Too many answers are unusable, or the program fails.
        """
        outputs = torch.from_numpy(self.logits(texts, text_pairs))
        predictions = self.kind.answers(activated(outputs, self.kind, self.activation))
        return count(self, predictions, "NaN or infinite values")

    def logits(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, batch_rows: int = BATCH_ROWS
    ) -> np.ndarray:
        """Return (N, K) float32 logits; of words (N, W, K), with -inf where a word has no token.

        Args:
            texts: N texts.
            text_pairs: N second texts.
            batch_rows: Most texts that the runtime gets at once.

        Raises:
            InputError: The program fails.
        """
        if not len(texts):
            return none(len(self.labels), self.kind.of_words).numpy()
        given = list(texts) if text_pairs is None else list(zip(texts, text_pairs, strict=True))
        encoded = self._tokenizer.encode_batch(given)
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
        answers: dict[int, np.ndarray] = {}
        while order:
            rows: list[int] = []
            longest = 1
            while order and len(rows) < batch_rows:
                longest = max(longest, len(encoded[order[0]].ids))
                if rows and longest * (len(rows) + 1) > BATCH_TOKENS:
                    break
                rows.append(order.pop(0))
            inputs = self._inputs([encoded[row] for row in rows])
            found: Iterable[np.ndarray] = self._answer(inputs)
            if self.kind.of_words:
                found = [
                    _words(output[-len(encoded[row].ids) :] if self._left else output, texts[row], encoded[row])
                    for output, row in zip(found, rows, strict=True)
                ]
            answers |= dict(zip(rows, found, strict=True))
        return outputs_below([answers[row][None] for row in range(len(encoded))])

    def cut_share(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> float:
        """Return the share of texts that are longer than what is read of them; of many, some are looked at."""
        if not len(texts):
            return 0.0
        chosen = range(0, len(texts), max(1, len(texts) // COUNTED))
        given = [texts[row] if text_pairs is None else (texts[row], text_pairs[row]) for row in chosen]
        return sum(bool(encoding.overflowing) for encoding in self._tokenizer.encode_batch(given)) / len(chosen)

    def _inputs(self, encoded: list) -> dict[str, np.ndarray]:
        """Return the padded inputs that the program takes, (N, L) int64 each."""
        width = max(1, *(len(encoding.ids) for encoding in encoded))
        values = {
            "input_ids": np.full((len(encoded), width), self._pad),
            "attention_mask": np.zeros((len(encoded), width)),
            "token_type_ids": np.full((len(encoded), width), self._pad_type),
        }
        for row, encoding in enumerate(encoded):
            length = max(1, len(encoding.ids))  # a text without tokens becomes one padding token
            place = slice(width - length, width) if self._left else slice(0, length)
            values["attention_mask"][row, place] = 1
            if encoding.ids:
                values["input_ids"][row, place] = encoding.ids
                values["token_type_ids"][row, place] = encoding.type_ids
        return {name: values[name].astype(np.int64) for name in self._names if name in values}

    def _answer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        try:
            output = self._run(inputs)
        except Exception as error:  # each runtime raises its own
            raise InputError(f"{self._about} cannot classify a text ({_reason(error)}); export the student again.") from error
        rows = inputs["input_ids"].shape[: 2 if self.kind.of_words else 1]
        if output.dtype.kind != "f" or output.ndim != len(rows) + 1 or output.shape[: len(rows)] != rows:
            wanted = "(texts, tokens, tags)" if self.kind.of_words else "(texts, classes)"
            raise InputError(
                f"{self._about} gives {output.dtype} of shape {output.shape} for {rows[0]} texts; "
                f"expected logits {wanted}: export the student again."
            )
        return output


def _words(output: np.ndarray, text: str, encoding: Encoding) -> np.ndarray:
    """Return the outputs of a text's words, (W, K), of those of its tokens, (L, K)."""
    places = np.asarray(read_places(words_of(text), encoding.offsets), dtype=np.int64)
    return np.where(places[:, None] < 0, -np.inf, output[places]).astype(np.float32)


def _read_tokenizer(folder: Path, about: str) -> Tokenizer:
    check_tokenizer_files(folder, about)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{about} has no tokenizer.json; copy that of the student beside the program.")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust library raises a bare Exception
        raise InputError(f"{about}: tokenizer.json is damaged ({_reason(error)}); copy the folder again.") from error


def _open_onnx(program: Path, about: str) -> tuple[list[str], Run]:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{about} needs onnxruntime: pip install 'topic-prompter[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # as PyTorch, so that their times can be compared
    options.log_severity_level = 4  # what goes wrong is said below
    try:
        session = onnxruntime.InferenceSession(str(program), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"{about}: {program.name} cannot be opened ({_reason(error)}); copy the folder again.") from error
    output = session.get_outputs()[0].name
    return [item.name for item in session.get_inputs()], lambda inputs: np.asarray(session.run([output], inputs)[0])


def _open_openvino(program: Path, about: str) -> tuple[list[str], Run]:
    try:
        import openvino
    except ImportError as error:
        raise InputError(f"{about} needs openvino: pip install 'topic-prompter[openvino]'") from error
    try:
        # As PyTorch, so that times and answers can be compared; by itself it would compute in bfloat16 on some processors.
        settings: Mapping[str, object] = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = openvino.Core().compile_model(str(program), "CPU", settings)
    except Exception as error:
        raise InputError(f"{about}: {program.name} cannot be opened ({_reason(error)}); copy the folder again.") from error
    names, own = [port.get_any_name() for port in compiled.inputs], threading.local()

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        if not hasattr(own, "request"):  # called itself, the program has one for all threads, and mixes their answers
            own.request = compiled.create_infer_request()
        return np.array(own.request.infer(inputs, share_inputs=True)[0])  # a copy: the runtime overwrites its own buffer

    return names, run


_OPENERS: dict[str, Callable[[Path, str], tuple[list[str], Run]]] = {".onnx": _open_onnx, ".xml": _open_openvino}


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
