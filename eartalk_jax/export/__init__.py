"""Checkpoints for people who use PyTorch, and back.

DIR/config.json            every number the forward pass needs
DIR/model.safetensors      weights, or shards of them and an index
DIR/tokenizer/             the same two files of the tokenizer; another
                           library's as that library has them
DIR/speech/                likewise, of a speech encoder that has weights
DIR/modeling_eartalk.py    the model in plain PyTorch: needs nothing of this
DIR/modeling_encoders.py   other libraries' encoders, where there are some
DIR/picture_files.py       portraits from files: needs Pillow alone
DIR/example.py, README.md  how to use it; what was trained on what
DIR/training.json          the run's configuration, for the way back
"""
