"""Sound to motion: blend shapes from a mel spectrogram, for engines that take them."""
