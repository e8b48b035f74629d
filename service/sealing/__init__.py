"""What proves that a bundle is whole, within limits, and from whom."""
