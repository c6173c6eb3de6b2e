"""The student: a small classifier, and four ways to make one.

The first weights matter, so the user always names them: a folder or hub id (pre-trained or already distilled), chosen layers
of the teacher (`teacher-layers:0,2,4`, as in DistilBERT, arXiv 1910.01108), a configuration with random weights
(`bert:layers=2,hidden=128`), or a vector for each token (`static:from-teacher`, see `distill.students.static`). Students of
the teacher's layers and of a configuration have no dropout. Dropout keeps a model from memorising labels.
Here the target is the teacher's whole function, the student hardly ever sees a text twice, and noise only slows it down. A
saved student is an ordinary Hugging Face folder.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

from distill.checkpoints.checksums import seal
from distill.checkpoints.static_model import StaticConfig
from distill.checkpoints.tokenizer_files import save_tokenizer
from distill.checkpoints.tokenizers import agree_on_padding
from distill.common import encode
from distill.common.errors import InputError, did_you_mean
from distill.common.files import replace_folder
from distill.common.hub import ARCHITECTURES, CLASSIFIERS, load_config, load_model, load_tokenizer
from distill.common.precision import outputs_in_float32, prepared, resolve_device
from distill.common.seeding import seeded
from distill.kinds.classes import SINGLE
from distill.kinds.found import LENGTH_KEY, store_kind, stored_kind
from distill.kinds.kind import Kind
from distill.kinds.names import OF_SCORES
from distill.kinds.word_table import outputs
from distill.students.families import family_config, fields_of, reason_of, set_dropout
from distill.students.heads import begin_at, put_in_order
from distill.students.static import FROM_TEACHER, STATIC, open_static, static_model, vectors_of
from distill.students.word_vectors import give_words
from distill.teachers.base import Teacher
from distill.teachers.names import class_names
from distill.teachers.transformers_teacher import TransformersTeacher

TEACHER_LAYERS = "teacher-layers:"
FAMILIES = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES)
"""Families of transformers with a classifier of whole texts, and of words."""

FROM_CONFIG = re.compile(r"([\w-]+):(\w+=[^,=]+(,\w+=[^,=]+)*)")

NOT_OF_LAYERS = {"bos_token_id", "eos_token_id", "axial_pos_shape", "axial_pos_embds_dim", "pos_att_type"}
"""Lists of a configuration that may have as many entries as a model has layers, but not one for each."""

LAYER = re.compile(r"^(.*\.(?:layer|layers|h)\.)(\d+)(\..*)$")


class Student:
    """A classifier in training, its tokenizer, and the names of its classes.

    Attributes:
        kind: What its answers are, the teacher's kind.
        model: Float32 weights on `device`; `config.id2label` holds `labels`.
        tokenizer: The model's tokenizer.
        device: Device of the model.
        labels: The K class names, in the teacher's order.
        spec: What the student was made from, as the user wrote it.
        max_length: Longer texts are cut to this many tokens when the student classifies them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        device: torch.device,
        labels: Sequence[str],
        spec: str,
        kind: Kind = SINGLE,
    ) -> None:
        self.kind = kind
        if kind.name in OF_SCORES:
            outputs_in_float32(model)
        self.model = prepared(model.to(device).eval(), f"student: {spec}", compiled=True)
        self.tokenizer = tokenizer
        self.device = device
        self.labels = [str(label) for label in labels]
        self.spec = spec
        self.max_length = 128
        config = model.config
        if not kind.of_words and (kind.problem_type or config.problem_type != "single_label_classification"):
            config.problem_type = kind.problem_type  # a pipeline then applies the right function to the outputs
        config.id2label = dict(enumerate(self.labels))
        config.label2id = {label: i for i, label in enumerate(self.labels)}
        agree_on_padding(model, tokenizer)
        # The saved folder holds the length that the model can read, so that a pipeline with truncation=True respects it.
        tokenizer.model_max_length = encode.usable_length(model, tokenizer, 1_000_000)

    def answers(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, of words (N, W, C), see `kind`, without dropout or gradients."""
        return self.kind.answers(outputs(self.kind, self.model, self.tokenizer, texts, text_pairs, self.max_length))

    def cut_share(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> float:
        """Return the share of texts that are longer than what is read of them."""
        length = encode.usable_length(self.model, self.tokenizer, self.max_length)
        return encode.cut_share(self.tokenizer, length, texts, text_pairs)

    def num_parameters(self) -> int:
        """Return the number of weights, embeddings included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face model folder that `pipeline("text-classification", folder)` opens, or "token-classification".

        The folder appears whole or not at all, and replaces an older student.

        Raises:
            InputError: The folder holds something else, cannot be written, or the disk is full.
        """
        store_kind(self.model.config, self.kind)
        setattr(self.model.config, LENGTH_KEY, self.max_length)  # `prompter evaluate` reads as much as it was trained on
        with replace_folder(folder, marker="config.json") as temporary:
            self.model.save_pretrained(temporary)
            save_tokenizer(self.tokenizer, temporary)
            seal(temporary)


def load_student(
    spec: str | Path,
    *,
    labels: Sequence[str] | None = None,
    teacher: Teacher | None = None,
    tokenizer: PreTrainedTokenizerBase | str | Path | None = None,
    words: str | Path | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    kind: Kind | None = None,
) -> Student:
    """Make the student that `spec` describes.

    Args:
        spec: One of these forms. A model folder or hub id; a missing classification head is drawn at random. Or
            "teacher-layers:0,2,4": the teacher's embeddings, its layers of these numbers (from 0), and its head. Or
            "family:layers=2,hidden=128", with random weights, optional heads=, intermediate=, dropout= and any field of the
            family's configuration; the family is any `model_type` of transformers with a classifier. Defaults:
            heads = hidden / 64 (at least 1), intermediate = 4 * hidden, no dropout. Or a static student, without attention:
            "static:FOLDER_OR_ID" with the token vectors of a model2vec folder, "static:from-teacher" with vectors that the
            teacher's layers give.
        labels: The class names, in the teacher's order. None: the teacher's, or those stored in the folder.
        teacher: Needed for "teacher-layers" and "static:from-teacher", and to find a tokenizer for "family:...".
        tokenizer: A tokenizer, or a folder or hub id of one, to replace the teacher's (for "family:...") or the folder's own.
        words: A language model whose word vectors a student of "family:..." begins with: folder, hub id or GGUF file.
        seed: Decides every random weight.
        device: "auto", "cpu", "cuda", "cuda:N".
        kind: What its answers are. None: as the teacher's, or as the folder says.

    Raises:
        InputError: The spec cannot be read, names an unknown family, field or layer, needs a teacher of another kind, has
            other classes than the teacher, or the vocabulary does not fit.
    """
    spec, words, target = str(spec), str(words) if words else None, resolve_device(device)
    labels = None if labels is None else class_names(labels, "labels")
    if teacher is not None:
        labels, kind = teacher.labels if labels is None else labels, kind or teacher.kind
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(str(tokenizer), "student_tokenizer")
    new = FROM_CONFIG.fullmatch(spec.replace(" ", ""))
    if words and (new is None or Path(spec).expanduser().is_dir()):
        raise InputError(f"student_words: {spec} has word vectors of its own; leave it out, or give bert:layers=2,hidden=128.")
    with seeded(seed, "student"):
        if Path(spec).expanduser().is_dir():
            return _from_folder(spec, labels, kind, tokenizer, target)
        if spec.startswith(STATIC):
            return _static(spec, labels, kind or SINGLE, teacher, tokenizer, target)
        if spec.startswith(TEACHER_LAYERS):
            return _from_teacher(spec, labels, teacher, tokenizer, target)
        if new:
            student = _from_config(spec, new[1], new[2], labels, kind or SINGLE, teacher, tokenizer, target)
            if words:
                give_words(student.model, student.tokenizer, words)
            return student
        if ":" in spec:
            raise InputError(
                f"student: {spec!r} cannot be read; expected a folder, a hub id, "
                "teacher-layers:0,2,4, static:from-teacher or family:layers=2,hidden=128."
            )
        return _from_folder(spec, labels, kind, tokenizer, target)


def _from_folder(
    spec: str,
    labels: Sequence[str] | None,
    kind: Kind | None,
    tokenizer: PreTrainedTokenizerBase | None,
    device: torch.device,
) -> Student:
    config = load_config(spec, "student")
    heads = tuple(ending for kind_of_model in CLASSIFIERS for ending in ARCHITECTURES[kind_of_model][0])
    has_head = any(name.endswith(heads) for name in config.architectures or [])
    own = [str(config.id2label[i]) for i in range(config.num_labels)] if has_head else None
    if own is None and config.model_type == StaticConfig.model_type:
        raise InputError(f"student: {spec} holds token vectors without a head; write {STATIC}{spec}.")
    if labels is None:
        if own is None:
            raise InputError(f"student: {spec} has no classification head; give the class names (labels).")
        labels = own
    if own is not None and kind is not None and stored_kind(config).problem_type != kind.problem_type:
        raise InputError(
            f"student: {spec} is of the kind {stored_kind(config).name}, but the teacher is of the kind {kind.name}; use a "
            "student of the same task, or one without a head."
        )
    if own is not None and len(own) != len(labels):
        raise InputError(
            f"student: {spec} has {len(own)} classes {own}, but the teacher has {len(labels)} {list(labels)}; "
            "use a student of the same task, or one without a head."
        )
    kind = kind or stored_kind(config)
    classifier, new_head = CLASSIFIERS[kind.of_words], config.model_type != StaticConfig.model_type  # not without its head
    model = load_model(classifier, spec, "student", device, torch.float32, new_head=new_head, num_labels=len(labels))
    if bad := next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None):
        raise InputError(f"student: {spec} holds weights that are not finite ({bad}); copy the folder again.")
    if tokenizer is None:
        tokenizer = load_tokenizer(spec, "student")
    _check_vocabulary(spec, model, tokenizer)
    if own is None:
        begin_at(model, kind.start)
    else:
        put_in_order(model, own, labels, spec)
    return Student(model, tokenizer, device, labels, spec, kind)


def _from_teacher(
    spec: str,
    labels: Sequence[str] | None,
    teacher: Teacher | None,
    tokenizer: PreTrainedTokenizerBase | None,
    device: torch.device,
) -> Student:
    if not isinstance(teacher, TransformersTeacher):
        raise InputError(f"student: {spec} copies the teacher's weights, so the teacher must be a model folder or id.")
    if tokenizer is not None:
        raise InputError(f"student_tokenizer: {spec} copies the teacher's embeddings, so it needs its tokenizer.")
    fields = fields_of(teacher.model.config, "layers", spec)
    count = int(teacher.model.config.num_hidden_layers)
    listed = spec.removeprefix(TEACHER_LAYERS).replace(" ", "").split(",")
    if not all(re.fullmatch(r"-?\d+", item) for item in listed):
        raise InputError(f"student: {spec!r} cannot be read; expected teacher-layers: and layer numbers, as in 0,2,4.")
    layers = [int(item) for item in listed]
    outside = [layer for layer in layers if not 0 <= layer < count]
    if outside:
        raise InputError(f"student: {spec} names layer {outside[0]}; the teacher has layers 0 to {count - 1}.")
    if labels is not None and len(labels) != len(teacher.labels):
        raise InputError(
            f"student: {len(labels)} labels {list(labels)}, but the copied head has {len(teacher.labels)} classes."
        )
    plain = _plain(teacher.model.config)
    for field, value in plain.items():  # what each layer is: its kind, its window of attention
        if isinstance(value, list) and len(value) == count and field not in NOT_OF_LAYERS:
            plain[field] = [value[layer] for layer in layers]
    try:
        config = AutoConfig.for_model(**plain | dict.fromkeys(fields, len(layers)))
        set_dropout(config, 0.0)
        model = CLASSIFIERS[teacher.kind.of_words].from_config(config, dtype=torch.float32)
    except Exception as error:  # each family checks its fields in its own way
        raise InputError(f"student: no model can be built from {spec} ({reason_of(error)}).") from error
    weights = {}
    for name, weight in teacher.model.state_dict().items():
        found = LAYER.match(name)
        if found is None:
            weights[name] = weight
            continue
        # A spec may name one layer twice. Every position that names it gets a copy.
        for position, layer in enumerate(layers):
            if layer == int(found[2]):
                weights[f"{found[1]}{position}{found[3]}"] = weight
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        if config.model_type.startswith("modernbert") and layers[0]:
            raise InputError(f"student: {spec}: the first layer of a ModernBERT is of another form; begin with 0.") from error
        raise InputError(
            f"student: layers of a {config.model_type} teacher cannot be copied; one of random weights can be made: "
            f"{config.model_type}:layers=2"
        ) from error
    # Loaded anew, because the student sets the length that it can read on its tokenizer.
    return Student(model, load_tokenizer(teacher.path, "teacher"), device, labels or teacher.labels, spec, teacher.kind)


def _static(
    spec: str,
    labels: Sequence[str] | None,
    kind: Kind,
    teacher: Teacher | None,
    tokenizer: PreTrainedTokenizerBase | None,
    device: torch.device,
) -> Student:
    normalize = False
    if kind.of_words:
        raise InputError(
            f"student: {spec} reads a text as a whole, but the teacher tags words; give teacher-layers:0,2 or a folder."
        )
    if labels is None:
        raise InputError(f"student: {spec} needs class names (labels) or a teacher.")
    if tokenizer is not None:
        raise InputError(f"student_tokenizer: {spec} has vectors of its own tokens, so it needs its own tokenizer.")
    if spec == FROM_TEACHER:
        if not isinstance(teacher, TransformersTeacher):
            raise InputError(f"student: {spec} asks the teacher's layers, so the teacher must be a model folder or id.")
        tokenizer = load_tokenizer(teacher.path, "teacher")
        vectors = vectors_of(teacher.model, tokenizer, spec)
    else:
        vectors, tokenizer, normalize = open_static(spec)
    model = static_model(vectors, tokenizer, len(labels), normalize)
    begin_at(model, kind.start)
    return Student(model, tokenizer, device, labels, spec, kind)


def _from_config(
    spec: str,
    family: str,
    settings: str,
    labels: Sequence[str] | None,
    kind: Kind,
    teacher: Teacher | None,
    tokenizer: PreTrainedTokenizerBase | None,
    device: torch.device,
) -> Student:
    families = FAMILIES[kind.of_words]
    if family not in families:
        what = "token" if kind.of_words else "sequence"
        raise InputError(
            f"student: {family!r} is not a model family with a {what} classifier.{did_you_mean(family, families)}"
        )
    if labels is None:
        raise InputError(f"student: {spec} needs class names (labels) or a teacher.")
    if tokenizer is None:
        if not isinstance(teacher, TransformersTeacher):
            raise InputError(f"student_tokenizer: {spec} needs one, as the teacher has none; give a folder or hub id.")
        tokenizer = load_tokenizer(teacher.path, "teacher")
    failure: InputError | None = None
    for own_heads in (True, False):
        try:
            config = family_config(spec, family, settings, tokenizer, len(labels), own_heads)
            return _built(spec, config, tokenizer, labels, kind, device)
        except InputError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _built(
    spec: str,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    kind: Kind,
    device: torch.device,
) -> Student:
    """Return a student of random weights that has classified a text.

    Raises:
        InputError: It cannot be built, or cannot classify a text.
    """
    try:
        model = CLASSIFIERS[kind.of_words].from_config(config, dtype=torch.float32)
        model.get_input_embeddings()
        begin_at(model, kind.start)
    except Exception as error:  # a family may need a library, or check its fields in its own way
        raise InputError(f"student: no model can be built from {spec} ({reason_of(error)}).") from error
    student = Student(model, tokenizer, device, labels, spec, kind)
    try:
        student.answers(["A text."])
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        hint = "give --dtype float32" if "BFloat16" in str(error) else "give its own fields"
        raise InputError(
            f"student: a {config.model_type} of these sizes cannot classify a text ({reason_of(error)}); {hint}."
        ) from error
    return student


def _plain(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the fields of a configuration except those that describe its checkpoint."""
    dropped = {"architectures", "dtype", "transformers_version", "_name_or_path"}
    return {key: value for key, value in config.to_dict().items() if key not in dropped}


def _check_vocabulary(spec: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    try:
        rows = model.get_input_embeddings().weight.shape[0]
    except NotImplementedError as error:  # CANINE reads characters
        raise InputError(f"student: {spec} has no table of words, which is not supported; use another model.") from error
    if (tokens := max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))) > rows:  # some leave numbers out
        raise InputError(f"student: {spec} has {rows} word embeddings, but its tokenizer has {tokens} tokens.")
