"""`eddycast archive`: a topic as Parquet files, and readings of files or topics as history."""
