"""Where an embedded instance keeps its things.

An instance is a folder. ``instance.env`` inside it holds what the settings need (secret key, addresses of database
and broker), written by ``manage.py up`` and readable by its owner only.
"""

import os
from pathlib import Path

DATA_DIR_VARIABLE = "TOLLBOOK_DATA_DIR"
DATA_DIR_OPTION = "--data-dir"


def data_dir() -> Path:
    """The instance's folder: ``TOLLBOOK_DATA_DIR``, or ``.data`` beside ``manage.py``."""
    default = Path(__file__).resolve().parent.parent / ".data"
    return Path(os.environ.get(DATA_DIR_VARIABLE) or default).absolute()


def instance_env_file(folder: Path) -> Path:
    """The file of ``KEY=value`` lines that the settings read."""
    return folder / "instance.env"


def adopt_data_dir(argv: list[str]) -> None:
    """Take ``--data-dir DIR`` (or ``--data-dir=DIR``) off a command line and into the environment."""
    for position, word in enumerate(argv):
        if word == DATA_DIR_OPTION and position + 1 < len(argv):
            os.environ[DATA_DIR_VARIABLE] = argv[position + 1]
            del argv[position : position + 2]
            return
        if word.startswith(DATA_DIR_OPTION + "="):
            os.environ[DATA_DIR_VARIABLE] = word.partition("=")[2]
            del argv[position]
            return
