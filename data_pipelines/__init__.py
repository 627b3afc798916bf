"""From media files to batches: corpus, ingest, shards, batches."""
