"""Weights of other libraries: read safely, filled in strictly, and back again.

`sources` reads folders and files, `filling` puts every tensor in its place. What
the tensors mean is said by the kinds of `tokenizers` and `speech`.
"""
