"""The pixel-doublet filter: do the two hits of a track seed belong together?"""
