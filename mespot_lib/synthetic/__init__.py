"""Drawn faces, their muscles, head and camera, and the writers of the real layouts."""
