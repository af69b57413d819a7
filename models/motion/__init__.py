"""From sound to what a face and its head do: blend shapes, expression offsets, pose, blinks, gaze."""
