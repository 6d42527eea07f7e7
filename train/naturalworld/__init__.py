"""Naturalworld: moving pictures made from photographs and drawn everyday things, whose truth is known exactly.

A clip is one to five shots. Each looks at a photograph through a virtual camera, with grain, noise and hand shake.
What happens is written down before anything is drawn: cuts, camera moves, changes of the picture, texts, weather, and
things with names that come, stay, move and go. All changes fall on the clip's beat, as in shapeworld.

Photographs and pictures of things come from Debian packages (`assets`); nothing of them is kept in the repository.
"""
