"""From an avatar frame to a face crop and back."""
