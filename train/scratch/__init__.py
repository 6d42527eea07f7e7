"""Training a whole Qwen2-VL from random weights on shapeworld: tempo-tiny's recipe.

It is NOT how a pretrained checkpoint is refreshed (that is `train.sft`): here every weight moves, the forward pass is a
fast twin of the model's own, and auxiliary heads tell each part of the model what to look at while it is still blind.
Run it with `python -m train sft --recipe tempo-tiny --out FOLDER`; the same command resumes.
"""
