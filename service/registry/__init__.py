"""The registry of models: immutable versions, and the changes that make one of them champion."""
