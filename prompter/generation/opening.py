"""Opening the frozen writer of a policy on what the user chose: in this process, on vLLM, or on a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.common.terminal import one_line
from prompter.editing.edits import Edits
from prompter.generation.config import TRANSFORMERS, VLLM, WriterConfig
from prompter.generation.outside.outside_writer import OutsideWriter
from prompter.generation.policy import TopicPolicy
from prompter.generation.prompts import contexts_of
from prompter.generation.writer import Writer

if TYPE_CHECKING:
    from prompter.generation.outside.vllm_policy import VLLMPolicy

AnyWriter = Writer | OutsideWriter


def open_writer(
    backend: str,
    policy: TopicPolicy,
    base: str,
    generator: str,
    config: WriterConfig,
    device: str,
    revision: str | None = None,
    quiet: bool = True,
) -> AnyWriter:
    """Open the frozen writer of a policy.

    Args:
        backend: `transformers`, `vllm`, or the address of a server that the user named.
        policy: The policy, with its adapters.
        base: Name of the policy's model.
        generator: Name of the writer's model.
        config: Sampling settings.
        device: Device of a model in this process.
        revision: Commit of a separate model on the hub.
        quiet: Show no progress bar while a toy model is trained.

    Raises:
        InputError: It cannot be opened, or the class prompts do not fit its context.
    """
    edits = edits_of(config, policy)
    if backend == TRANSFORMERS:
        here = Writer.beside(policy, base, generator, config, device, revision, quiet)
        here.edits = edits
        return here
    made: OutsideWriter
    if backend == VLLM:
        from prompter.generation.outside.vllm_writer import VLLMWriter

        made = VLLMWriter(generator, config, revision)
    else:
        from prompter.generation.outside.server_writer import ServerWriter

        made = ServerWriter(backend, generator, config, revision)
    if policy.has_adapters:
        made.reader = Writer(policy.model, policy.tokenizer, config)
        made.reader.settle_batch_size()
    made.contexts, made.edits = contexts_of(made, policy), edits
    return made


def edits_of(config: WriterConfig, policy: "TopicPolicy | VLLMPolicy") -> Edits:
    """Return what edits the texts of a policy.

    Raises:
        InputError: The policy writes whole texts, which no writer edits; or as `Edits`.
    """
    if config.edit_labels and policy.config.writes == "text":
        raise InputError(
            "edit_labels names classes, but with 'writes: text' there is no writer that edits: leave one of them out"
        )
    return Edits(config, policy.labels)


def check_served(writer: object, file: Path) -> None:
    """Note what a server says about its model, or compare it with the note: texts of two models must not be mixed unseen.

    Args:
        writer: Any writer; nothing is noted of one that is no server, or that says nothing.
        file: Where the note is kept.

    Raises:
        InputError: The server has another model than when the note was made, or the note is damaged.
    """
    served = writer.served if isinstance(writer, OutsideWriter) else {}
    if not served:
        return
    if not file.is_file():
        write_json(file, served)
        return
    noted = read_json(file)
    if noted != served:
        raise InputError(
            f"writer: the server has {_shown(served)} now, but had {_shown(noted)} when {file.parent} was begun: let it serve "
            "that model again, or choose another folder"
        )


def _shown(served: Any) -> str:
    return one_line(", ".join(map(str, served.values())) if isinstance(served, dict) else str(served))[:200]
