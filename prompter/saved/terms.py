"""Licence and language of a card: given by the user, or inherited from the card of the model that it comes from."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml
from huggingface_hub import ModelCard, hf_hub_download

from distill.checkpoints.network import heed_network
from distill.common.errors import InputError
from distill.common.files import write_text
from distill.common.hub import HUB_ID
from distill.common.settings import ModelHubSettings

LARGEST_CARD = 1 << 20
"""A card of more bytes is not read."""

MOST_LANGUAGES = 10_000
"""Most languages that are passed on; there are fewer."""


def set_terms(folder: Path, settings: ModelHubSettings, origin: str | None, say: Callable[[str], None]) -> None:
    """Write licence and languages into the card of a student or a prompter.

    Args:
        folder: The finished folder.
        settings: What the user gave.
        origin: Model whose terms pass on where the user gave none: the teacher of a student, the base of a prompter.
        say: Gets a line where a licence is inherited.

    Raises:
        InputError: The card cannot be read or written.
    """
    file = folder / "README.md"
    if not file.is_file():
        return
    try:
        card = ModelCard(file.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{file}: cannot be read ({str(error).splitlines()[0]}); remove it, and run the command again"
        ) from error
    before = str(card)
    license = settings.license or card.data.get("license")
    languages = settings.language or card.data.get("language")
    if origin and not (license and languages):
        found = card_of(origin)
        if not license and found is not None and isinstance(found.data.get("license"), str):
            license = found.data.get("license")
            say(
                f"{folder.name}: its card names the licence {license}, which is that of {origin}: check that it holds here, "
                "or give --license."
            )
        if not languages and found is not None:
            languages = _languages(found.data.get("language"))
    if license:
        card.data["license"] = license
    if languages:
        card.data["language"] = languages
    if str(card) != before:
        write_text(file, str(card))


def _languages(said: object) -> object:
    """Return the languages that a card names; YAML reads Norwegian as false, which the hub refuses.

    Anything but names, such as lists in lists that aliases multiply, is left out.

    Examples:
        >>> _languages(["en", False]), _languages(False), _languages("fr"), _languages(None), _languages([["en"], {}])
        (['en', 'no'], 'no', 'fr', None, None)
    """
    if isinstance(said, list):
        return [_languages(one) for one in said[:MOST_LANGUAGES] if isinstance(one, str) or one is False] or None
    return "no" if said is False else said if isinstance(said, str) else None


def card_of(name: str) -> ModelCard | None:
    """Return the card of a model folder or hub id; None where there is none, or it cannot be read. No token is sent."""
    with suppress(Exception):  # a card is free text of strangers, and the hub's client raises anything
        file = Path(name) / "README.md"
        if not Path(name).is_dir():
            # The toy world's own models are files of this package, and "toy" is an id on the hub, too.
            if name.partition(":")[0] == "toy" or HUB_ID.fullmatch(name) is None or Path(name).exists():
                return None
            heed_network()
            file = Path(hf_hub_download(name, "README.md", token=False))
        if file.stat().st_size <= LARGEST_CARD:
            return ModelCard(file.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    return None
