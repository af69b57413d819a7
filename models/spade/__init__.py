"""The decoder that the portrait engines share."""
