"""The flag --out of commands that have a config file; absl defines it once."""

from absl import flags

OUT = flags.DEFINE_string("out", None, "Folder to write to.")
