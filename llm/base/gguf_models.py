"""Models in GGUF files, turned once into folders of safetensors that everything else reads."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from llm.base.folder_format import read_stamped, stamped
from llm.base.identity import file_hash, folder_hash
from llm.base.kept_hashes import cache_folder
from llm.base.model_folder import gguf_file_of
from llm.base.progress import Progress
from llm.base.tensor_files import disk_errors
from llm.base.whole_weights import require_whole
from sim.errors import InputError
from sim.files.atomic import write_json


def plain_folder(place: str | Path, progress: Progress = lambda text: None) -> Path:
    """The folder that a model is opened from: the one given, or what its GGUF file was turned into."""
    file = gguf_file_of(place)
    return Path(place) if file is None else converted(file, progress)


def converted(file: Path, progress: Progress = lambda text: None) -> Path:
    """The folder of safetensors, configuration and tokenizer that a GGUF file was turned into, now or before.

    Weights are de-quantised to float32: exactly what the file's numbers say, four to eight times as large.  The folder
    is named by the file's content, so that a file that changed is converted anew; and so is one whose folder is not as
    it was written, by the hash that lies beside it: what is kept of a model knows the file alone.
    """
    folder = cache_folder() / "gguf" / f"{file.stem}-{file_hash(file)[:16]}"
    # What versions wrote that kept no hash is converted once more.
    written = folder.with_name(f"{folder.name}.json")
    if folder.is_dir():
        if _as_written(folder, written):
            return folder
        progress(f"note: {folder} is not as it was written")
    progress(f"note: {file.name} is turned into a folder of safetensors, once: {folder}")
    model, tokenizer = _opened(file)
    _as_plain(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with disk_errors(folder):
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        temporary.chmod(0o755)
        found = folder_hash(temporary)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as old:
            if folder.exists():
                os.replace(folder, Path(old) / "before")
            os.replace(temporary, folder)
        write_json(written, stamped({"files": found}))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _as_written(folder: Path, written: Path) -> bool:
    """Whether all files of a converted folder are what they were when the hash beside it was taken."""
    try:
        return bool(read_stamped(written, "")["files"] == folder_hash(folder))
    except (OSError, InputError, KeyError):
        return False


def gguf_config(file: Path) -> Any:
    """The configuration in a file's head; no weight is read, and nothing is kept."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name, local_files_only=True)
    except ImportError as error:
        raise InputError(f"needs {error.name}", file=file, fix="pip install gguf") from error
    # A file that is cut or of another kind ends in whatever the reader meets first.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"is not a language model that can be read ({reason})", file=file) from error


def _opened(file: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            str(file.parent), dtype=torch.float32, output_loading_info=True, **options
        )
        require_whole(model, loaded, file)
        return model, AutoTokenizer.from_pretrained(str(file.parent), **options)
    except ImportError as error:
        raise InputError(f"needs {error.name}", file=file, fix="pip install gguf") from error
    except InputError:
        raise
    # A file that is cut or of another kind ends in whatever the reader meets first.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"is not a language model that can be read ({reason})", file=file) from error


def _as_plain(model: Any) -> None:
    """Forget that the weights came in fewer bits: they no longer do, and saving would be refused."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            setattr(model, name, None)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
