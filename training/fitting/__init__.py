"""Fitting: closed form for linear maps, truncated back-propagation for recurrent families,
and selection among them."""
