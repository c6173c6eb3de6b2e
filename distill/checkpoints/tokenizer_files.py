"""Write a tokenizer as transformers does, without what only says how it was loaded."""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from distill.common.files import write_text

LOADER_STATE = ("is_local", "local_files_only", "name_or_path", "_commit_hash")
"""Fields that transformers 5 adds to tokenizer_config.json when it loads one: they say where it lay and how it was fetched."""


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Write the files of a tokenizer into a folder.

    Raises:
        InputError: The folder cannot be written, or the disk is full.
        OSError: The same, for the files that transformers writes.
    """
    tokenizer.save_pretrained(folder)
    file = Path(folder) / "tokenizer_config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    kept = {name: value for name, value in config.items() if name not in LOADER_STATE}
    write_text(file, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
