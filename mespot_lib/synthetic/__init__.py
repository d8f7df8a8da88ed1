"""Drawn faces, their muscles, head and camera, and the writers of the real layouts.

Reading order: config -> events -> nuisances -> timeline (what happens), brushes -> geometry -> look -> muscles ->
skin, hair, eyes, mouth, worn, backdrop -> identity (who), render (what the camera sees).
"""
