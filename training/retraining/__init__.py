"""`eddycast retrain`: judge the candidates of a registry, then train the next one."""
