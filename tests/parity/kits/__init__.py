"""One module a kit, named like its folder, with ``run(goldens: GoldenFolder) -> None``."""
