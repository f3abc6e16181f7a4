"""Batch scoring: a manifest of any length -> Parquet shards of verdicts, on one machine or many."""
