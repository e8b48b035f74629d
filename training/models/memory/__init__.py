"""The memory of a stream, which has no weights: lags, seasonal tables, levels, scale."""
