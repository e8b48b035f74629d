"""How weights are found: closed form for linear maps, truncated back-propagation for recurrent cells."""
