"""Diagnosis of the input topic by a sample of its latest records, for `eddycast doctor`."""
