"""Weights of other libraries: read safely, filled in strictly, and back.

`sources` reads folders and files, `settings` the config.json in them, `filling`
puts every tensor in its place. What they mean is said by the kinds of
`tokenizers` and `speech`.
"""
