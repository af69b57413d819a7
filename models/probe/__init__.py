"""An engine for measuring: brightness follows the sound."""
